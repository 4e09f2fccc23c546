//! The configuration language.

use crate::world::World;
use natterjack_config::language::{self, Kind, Map, NoSource, Source, SyntaxError};

fn parse(text: &str) -> Result<Map, SyntaxError> {
    language::parse(text, "C", &NoSource)
}

/// A tree in one line: strings in quotes, maps in the order of the text.
fn show(map: &Map) -> String {
    let entries = map.iter().map(|e| format!("{}={}", e.key, show_kind(&e.value.kind)));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
}

fn show_kind(kind: &Kind) -> String {
    match kind {
        Kind::String(text) => format!("{text:?}"),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => format!("{number:?}"),
        Kind::Bool(flag) => flag.to_string(),
        Kind::Date(text) => format!("@{text}"),
        Kind::Array(items) => {
            let items = items.iter().map(|item| show_kind(&item.kind));
            format!("[{}]", items.collect::<Vec<_>>().join(" "))
        }
        Kind::Map(map) => show(map),
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    match parse(text) {
        Ok(tree) => assert_eq!(show(&tree), expected, "{text:?}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text:?}"),
    }
}

#[test]
fn values() {
    for (value, expected) in [
        ("1", "1"),
        ("-5", "-5"),
        ("007", "7"),
        ("1k", "1000"),
        ("-5K", "-5000"),
        ("-5ms", "\"-5ms\""),
        ("1kb", "1024"),
        ("1Ki", "1024"),
        ("1KiB", "1024"),
        ("3m", "3000000"),
        ("1mib", "1048576"),
        ("2g", "2000000000"),
        ("1t", "1000000000000"),
        ("1pb", "1125899906842624"),
        ("9e", "9000000000000000000"),
        ("9223372036854775807", "9223372036854775807"),
        ("1.5", "1.5"),
        ("-1.5", "-1.5"),
        ("1b", "\"1b\""),
        ("1kx", "\"1kx\""),
        ("5s", "\"5s\""),
        ("10h", "\"10h\""),
        ("500ms", "\"500ms\""),
        ("1e5", "\"1e5\""),
        ("0x10", "\"0x10\""),
        ("+5", "\"+5\""),
        ("5#c", "\"5#c\""),
        ("127.0.0.1", "\"127.0.0.1\""),
        ("127.0.0.1:80", "\"127.0.0.1:80\""),
        ("1.5.2", "\"1.5.2\""),
        ("::1", "\"::1\""),
        ("2016-05-04T18:53:41Z", "@2016-05-04T18:53:41Z"),
        ("2000-02-29T00:00:00Z", "@2000-02-29T00:00:00Z"),
        ("true", "true"),
        ("YES", "true"),
        ("On", "true"),
        ("false", "false"),
        ("no", "false"),
        ("OFF", "false"),
        ("truex", "\"truex\""),
        ("\"true\"", "\"true\""),
        ("a#b", "\"a#b\""),
        ("a//b", "\"a//b\""),
        ("a:b=c", "\"a:b=c\""),
        ("a{b[c", "\"a{b[c\""),
        ("#b", "\"#b\""),
        ("//b", "\"//b\""),
        ("a\"b", "\"a\\\"b\""),
        ("a'", "\"a\""),
        ("\u{e9}\u{a0}x", "\"\u{e9}\\u{a0}x\""),
        ("a\\x41b", "\"aAb\""),
        ("tru\\x65", "\"true\""),
        ("$x'", "\"$x\""),
        ("\"a\\x41\\t\\n\\r\\\"\\\\b\"", "\"aA\\t\\n\\r\\\"\\\\b\""),
        ("\"a\nb\"", "\"a\\nb\""),
        ("'a\\x41 \"b\"\nc'", "\"a\\\\x41 \\\"b\\\"\\nc\""),
        ("(\n a\n  b\n)", "\"\\n a\\n  b\\n\""),
        ("(abc\n)", "\"abc\\n\""),
        ("(\n)", "\"\\n\""),
        ("(\n ) \n)", "\"\\n ) \\n\""),
        ("$2a$11$abc", "\"$2a$11$abc\""),
        ("$2b$11$abc", "\"$2b$11$abc\""),
        ("\"$x\"", "\"$x\""),
        ("{}", "{}"),
        ("{a:1,,b 2;c=3\n\n# x\nd: 4 // y\n}", "{a=1 b=2 c=3 d=4}"),
        ("{a:}", "{a=\"\"}"),
        ("{a 1;;b 2}", "{a=1 ;b=2}"),
        ("[]", "[]"),
        ("[1,2,3]", "[1 2 3]"),
        ("[1\n2\n]", "[1 2]"),
        ("[a, # x\n b // y\n 'c', \"d\",]", "[\"a\" \"b\" \"c\" \"d\"]"),
        ("[[1],[{a:[]}]]", "[[1] [{a=[]}]]"),
        ("[(\nx\n)\n]", "[\"\\nx\\n\"]"),
    ] {
        check(&format!("k: {value}"), &format!("{{k={expected}}}"));
    }
}

#[test]
fn entries() {
    for (text, expected) in [
        ("a=1", "{a=1}"),
        ("a:1", "{a=1}"),
        ("a 1", "{a=1}"),
        ("a\t:\t1", "{a=1}"),
        ("a\n= 1", "{a=1}"),
        ("a\n1", "{a=1}"),
        ("a\n{\nb 1}", "{a={b=1}}"),
        ("'a b': 1", "{a b=1}"),
        ("\"a\"1", "{a=1}"),
        ("a{b: 1", "{a{b=1}"),
        ("a 1\nb 2", "{a=1 b=2}"),
        ("a 1\r\nb 2\r\n", "{a=1 b=2}"),
        ("a 1, b 2; c 3 # x\n// y\nd 4", "{a=1 b=2 c=3 d=4}"),
        ("a 1\na 2", "{a=2}"),
        ("a 1\nA 2", "{a=1 A=2}"),
        ("{a 1}", "{a=1}"),
        ("{\"a\": 1, \"b\": [true],}", "{a=1 b=[true]}"),
        ("{a 1}\nb 2", "{a=1 b=2}"),
        ("a 1 }", "{a=1}"),
        ("a 1\n}", "{a=1}"),
        ("a:", "{a=\"\"}"),
        ("include: 1", "{include=1}"),
        ("'include' 1", "{include=1}"),
        ("includes 1", "{includes=1}"),
    ] {
        check(text, expected);
    }
}

#[test]
fn errors() {
    const TOP: &str = "Expected a top-level value to end with a new line, comment or EOF, but got";
    const MAP: &str = "Expected a map value terminator \",\" or a map terminator \"}\", but got";
    const ARRAY: &str =
        "Expected an array value terminator \",\" or an array terminator \"]\", but got";
    const ESCAPE: &str =
        "Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.";
    for (text, line, expected) in [
        ("a 1 d", 1, format!("{TOP} 'd' instead.")),
        ("a \u{e9} \u{e9}", 1, format!("{TOP} '\u{e9}' instead.")),
        ("a 1 /x", 1, format!("{TOP} 'x' instead.")),
        ("a = : 1", 1, format!("{TOP} '1' instead.")),
        ("a \"b\"c", 1, format!("{TOP} 'c' instead.")),
        ("a 1.5s", 1, format!("{TOP} 's' instead.")),
        ("a -5s", 1, format!("{TOP} 's' instead.")),
        ("{a 1 b 2}", 1, "Expected a block-level value to end with a new line, comment or EOF, but got 'b' instead.".into()),
        ("a:\n1", 2, "Expected value but found new line".into()),
        ("include \n", 2, "Expected include value but found new line".into()),
        ("= 1", 1, "Unexpected key separator '='".into()),
        ("\n: 1", 2, "Unexpected key separator ':'".into()),
        ("a {\n b", 2, "Unexpected EOF processing map key.".into()),
        ("a {\nb 1\n", 3, "Unexpected EOF processing map.".into()),
        ("a {b 1 c 2}", 1, format!("{MAP} 'c' instead.")),
        ("a {b: , c 2}", 1, "Unexpected map value terminator \",\".".into()),
        ("a [1 2]", 1, format!("{ARRAY} '2' instead.")),
        ("a [1;2]", 1, format!("{ARRAY} ';' instead.")),
        ("a [,1]", 1, "Unexpected array value terminator ','.".into()),
        ("a [1,,2]", 1, "Unexpected array value terminator ','.".into()),
        ("a [1\n,2]", 2, "Unexpected array value terminator ','.".into()),
        ("a \"b", 1, "Unexpected EOF.".into()),
        ("a 'b", 1, "Unexpected EOF.".into()),
        ("a (\nb", 2, "Unexpected EOF processing block.".into()),
        ("a (\nb\n )", 3, "Unexpected EOF processing block.".into()),
        ("a (\nb\n)x", 3, "Unexpected EOF processing block.".into()),
        ("a \"\\q\"", 1, format!("Invalid escape character 'q'. {ESCAPE}")),
        ("a b\\\nc", 2, format!("Invalid escape character '\\n'. {ESCAPE}")),
        ("a \"\\x4\"", 1, "Expected two hexadecimal digits after '\\x', but got '4\"'".into()),
        ("a -", 1, "Expected a digit but got end of file.".into()),
        ("a --5", 1, "Expected a digit but got '-'.".into()),
        ("a .5", 1, "Floats must start with a digit".into()),
        ("a 1.x", 1, "Floats must have a digit after the '.', but got 'x' instead.".into()),
        ("a 5-", 1, "All ISO8601 dates must be in full Zulu form.".into()),
        ("a 2016-05-04 b", 1, "Expected 'T' in ISO8601 datetime, but found ' ' instead.".into()),
    ] {
        check(text, &format!("Parse error on line {line}: '{expected}'"));
    }
    for (text, expected) in [
        ("", "C: config has no values or is empty"),
        (" # x\n// y\n", "C: config has no values or is empty"),
        ("{ }", "C: config has no values or is empty"),
        ("a", "config is invalid (C:1:1)"),
        ("a ", "config is invalid (C:1:2)"),
        ("a 1\nbcd", "config is invalid (C:2:4)"),
        ("include", "config is invalid (C:1:7)"),
        ("a $NOPE", "variable reference for 'NOPE' on line 1 can not be found"),
        ("a $x\nx 1", "variable reference for 'x' on line 1 can not be found"),
        ("x=$x", "variable reference for 'x' on line 1 can not be found"),
        ("a 9223372036854775808", "integer '9223372036854775808' is out of the range"),
        ("a 10e", "integer '10' is out of the range"),
        (
            "a 2015-02-29T00:00:00Z",
            "expected Zulu formatted DateTime, but got '2015-02-29T00:00:00Z'",
        ),
    ] {
        check(text, expected);
    }
    let long = format!("{}.5", "9".repeat(310));
    check(&format!("a {long}"), &format!("float '{long}' is out of the range"));
    check(&format!("a -{long}"), &format!("float '-{long}' is out of the range"));
}

#[test]
fn positions_count_from_0_on_the_first_line_and_from_1_on_later_ones() {
    let position =
        |text: &str, key: &str| parse(text).unwrap().get(key).unwrap().value.position.to_string();
    for (text, key, expected) in [
        ("x 1", "x", "C:1:0"),
        ("  x 1", "x", "C:1:2"),
        ("\t'x' 1", "x", "C:1:2"),
        ("a 1\nx 1", "x", "C:2:1"),
        ("a 1\r\n  x 1", "x", "C:2:3"),
        ("\u{e9} 1, x 1", "x", "C:1:6"),
        ("a (\nb\n)\nx 1", "x", "C:4:1"),
    ] {
        assert_eq!(position(text, key), expected, "{text:?}");
    }
    let tree = parse("a [ 5 , \"b\",\n{c 1} ]").unwrap();
    let Kind::Array(items) = &tree.get("a").unwrap().value.kind else { panic!() };
    let places: Vec<_> = items.iter().map(|item| item.position.to_string()).collect();
    assert_eq!(places, ["C:1:4", "C:1:9", "C:2:2"]);
}

#[test]
fn variables_come_from_enclosing_maps_then_from_the_environment() {
    let world = World::default()
        .variable("INT", "7")
        .variable("SIZE", "1k")
        .variable("TEXT", "a#b")
        .variable("ARRAY", "[1, x]")
        .variable("EMPTY", "")
        .variable("OTHER", "$INT")
        .variable("BAD", "a b")
        .variable("SELF", "$SELF")
        .variable("x", "environment");
    let check = |text: &str, expected: &str| match language::parse(text, "C", &world) {
        Ok(tree) => assert_eq!(show(&tree), expected, "{text:?}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text:?}"),
    };
    check("x 1\na $x", "{x=1 a=1}");
    check("x 1\nb {a $x}", "{x=1 b={a=1}}");
    check("x 1\nb {x 2, a [{c $x}]}", "{x=1 b={x=2 a=[{c=2}]}}");
    check("b {a $x}\nx 1", "{b={a=\"environment\"} x=1}");
    check("x {y 1}\na [$x, $x]", "{x={y=1} a=[{y=1} {y=1}]}");
    check("a $INT", "{a=7}");
    check("a $SIZE", "{a=1000}");
    check("a $TEXT", "{a=\"a#b\"}");
    check("a $ARRAY", "{a=[1 \"x\"]}");
    check("a $EMPTY", "{a=\"\"}");
    check("a $OTHER", "{a=7}");
    check(
        "\na $BAD",
        "variable reference for 'BAD' on line 2 could not be parsed: Parse error on line 1: \
         'Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead.'",
    );
    let error = language::parse("a $SELF", "C", &world).unwrap_err().to_string();
    assert!(error.ends_with("variables refer to others deeper than 16"), "{error}");

    let tree = language::parse("x 1\ny 2\nb {a $x}", "C", &world).unwrap();
    assert!(tree.get("x").unwrap().used_as_variable);
    assert!(!tree.get("y").unwrap().used_as_variable);
}

#[test]
fn includes_are_relative_to_the_file_they_stand_in() {
    let world = World::default()
        .file("/etc/nats/main.conf", "include sub/a.conf # x\nc $b\n")
        .file("/etc/nats/sub/a.conf", "a 1\ninclude '../b.conf'; d {INCLUDE \"./e.conf\" }\n")
        .file("/etc/nats/b.conf", "b 2")
        .file("/etc/nats/sub/e.conf", "e 3")
        .file("/etc/nats/scope.conf", "x 1\ninclude needs.conf")
        .file("/etc/nats/needs.conf", "y $x")
        .file("/etc/nats/bad.conf", "include broken.conf")
        .file("/etc/nats/broken.conf", "a {")
        .file("/etc/nats/missing.conf", "a 1\ninclude nope.conf")
        .file("/etc/nats/loop.conf", "include sub/../loop.conf")
        .file("/etc/nats/two.conf", "include b.conf ; include b.conf")
        .file("main.conf", "include \"sub/x.conf\"")
        .file("sub/x.conf", "x 1")
        .file("empty.conf", "include sub/nothing.conf\na 1")
        .file("sub/nothing.conf", "");
    let check = |path: &str, expected: &str| match language::parse_file(path, &world) {
        Ok(tree) => assert_eq!(show(&tree), expected, "{path}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{path}"),
    };
    check("/etc/nats/main.conf", "{a=1 b=2 d={e=3} c=2}");
    check("main.conf", "{x=1}");
    check("empty.conf", "{a=1}");
    check("/etc/nats/two.conf", "{b=2}");
    check(
        "/etc/nats/scope.conf",
        "error parsing include file 'needs.conf', variable reference for 'x' on line 1 can not be \
         found",
    );
    check(
        "/etc/nats/bad.conf",
        "error parsing include file 'broken.conf', Parse error on line 1: 'Unexpected EOF \
         processing map.'",
    );
    check(
        "/etc/nats/missing.conf",
        "error parsing include file 'nope.conf', open /etc/nats/nope.conf: no such file or \
         directory",
    );
    check(
        "/etc/nats/loop.conf",
        "error parsing include file 'sub/../loop.conf', open /etc/nats/loop.conf: it includes \
         itself",
    );
    check("nope.conf", "open nope.conf: no such file or directory");

    let tree = language::parse_file("/etc/nats/main.conf", &world).unwrap();
    assert_eq!(tree.get("b").unwrap().value.position.to_string(), "/etc/nats/b.conf:1:0");
}

/// Each file is a new one, so only the depth ends it.
struct Endless;

impl Source for Endless {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        Ok(format!("include x/{}", path.len()).into_bytes())
    }

    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let error = language::parse_file("a", &Endless).unwrap_err().to_string();
    assert!(error.ends_with("includes nest deeper than 16"), "{error}");

    for (open, close) in [("[", "]"), ("{a ", "}")] {
        let fits = format!("k {}{}", open.repeat(127), close.repeat(127));
        assert!(parse(&fits.replace("{a }", "{}")).is_ok(), "{open}");
        let error = parse(&format!("k {}", open.repeat(1_000_000))).unwrap_err().to_string();
        assert_eq!(error, "Parse error on line 1: 'Maps and arrays nest deeper than 128.'");
    }

    // Each line doubles what the variable before it stands for.
    let mut bomb = String::from("v0 [aaaaaaaa]\n");
    for i in 1..64 {
        bomb.push_str(&format!("v{i} [$v{0}, $v{0}]\n", i - 1));
    }
    assert_eq!(parse(&bomb), Err(SyntaxError::TooLarge { limit: 64 << 20 }));

    // Each line is one deeper than the one before it.
    let mut tower = String::from("v0 1\n");
    for i in 1..10_000 {
        tower.push_str(&format!("v{i} {{a $v{}}}\n", i - 1));
    }
    assert_eq!(parse(&tower), Err(SyntaxError::TooLarge { limit: 64 << 20 }));
}

#[test]
fn digest_is_that_of_nats_server() {
    let digest = |text: &str| language::digest(&parse(text).unwrap());
    // `nats-server -t -c FILE` prints these.
    let port = "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e";
    for text in ["port=4222", "port:4222", "port 4222", "\n{\"port\": 4222}", "port 1, port 4222"] {
        assert_eq!(digest(text), port, "{text}");
    }
    assert_eq!(
        digest("server_name: a<b>&c"),
        "sha256:3581509e8377de5ad320fdb4046117223bfcadd480f44c54e41f554c0ffbdddb"
    );
    assert_eq!(
        digest("server_name a'"),
        "sha256:7e05712478e5fe32453e1b5da67a85bbdf7b84c006fafd86ce0eb101c195188f"
    );
    assert_eq!(
        digest(
            "{\"port\": 4222, \"authorization\": {\"users\": [{\"user\":\"a\",\"password\":\"b\"}]}}"
        ),
        "sha256:dbeefe01cbbc757e49b3495468376aa7801ce39398f228a3a39f303750bf3dda"
    );
}
