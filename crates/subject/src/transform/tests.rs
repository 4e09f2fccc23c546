use super::*;

/// The fields of a row of a data file, with `\xNN` read.
fn fields(line: &str) -> Vec<Vec<u8>> {
    let unescape = |field: &str| {
        let mut bytes = Vec::new();
        let mut parts = field.split("\\x");
        bytes.extend_from_slice(parts.next().unwrap().as_bytes());
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        bytes
    };
    line.split('\t').map(unescape).collect()
}

fn rows(data: &str) -> impl Iterator<Item = Vec<Vec<u8>>> {
    data.lines().filter(|line| !line.starts_with('#')).map(fields)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn accepts_and_refuses_as_nats_server_does() {
    let mut count = 0;
    for row in rows(include_str!("../../tests/data/transform-check.tsv")) {
        let (src, dest, verdict) = (text(&row[0]), text(&row[1]), text(&row[2]));
        let expected = match verdict {
            "ok" | "invalid subject" => verdict.to_owned(),
            finding => format!("invalid mapping destination: {finding}"),
        };
        let found =
            Transform::new(src, dest).map_or_else(|error| error.to_string(), |_| "ok".into());
        assert_eq!(found, expected, "{src:?} to {dest:?}");
        count += 1;
    }
    assert!(count > 250, "{count} rows");
}

#[test]
fn renames_as_nats_server_does() {
    let mut count = 0;
    for row in rows(include_str!("../../tests/data/transform-apply.tsv")) {
        let (src, dest, subject) = (text(&row[0]), text(&row[1]), &row[2]);
        let transform = Transform::new(src, dest).unwrap();
        let mapped = transform.apply(subject, 0).unwrap_or_else(|| subject.clone());
        // A subject with an empty token is delivered to nobody.
        let delivered = if has_empty_token(&mapped) { b"<none>".to_vec() } else { mapped };
        assert_eq!(
            String::from_utf8_lossy(&delivered),
            String::from_utf8_lossy(&row[3]),
            "{src:?} to {dest:?} of {:?}",
            String::from_utf8_lossy(subject)
        );
        assert_eq!(delivered, row[3]);
        count += 1;
    }
    assert!(count > 250, "{count} rows");
}

/// What streams and sources do, and what no mapping shows.
#[test]
fn renames_and_selects() {
    #[track_caller]
    fn check(src: &str, dest: &str, subject: &str, expected: Option<&str>) {
        let transform = Transform::new(src, dest).unwrap();
        let found = transform.apply(subject.as_bytes(), 0);
        assert_eq!(found.as_deref().map(text), expected);
    }
    check("p.*", "{{partition(3,1)}}", "p.a", Some("1"));
    check("p.*", "{{partition(3,1)}}", "p.b", Some("1"));
    check("p.*", "{{partition(3,1)}}", "p.xx", Some("0"));
    check("p.*.*", "{{partition(7,1,2)}}", "p.ab.cd", Some("3"));
    check("partall.*.*", "{{partition(5)}}", "partall.a.b", Some("3"));
    check("partall.>", "{{partition(5)}}.>", "partall.z.z", Some("2.z.z"));
    check("st.*", "tt.$1.{{partition(3,1)}}", "st.abc", Some("tt.abc.2"));
    check("", "z.>", "l.a.b", Some("z.l.a.b"));
    // An empty destination selects.
    check("a.*", "", "a.b", Some("a.b"));
    check("a.*", "", "b.b", None);
    check("a.*", "b", "a", None);
    check("a.*", "b", "a.b.c", None);
    // What nats-server makes of leading delimiters, no valid subject.
    check("l.*", "m.{{split(1,-)}}", "l.--a--", Some("m..a"));
    check("l.*", "m.{{split(1,-)}}", "l.-a", Some("m.a"));
    check("l.*", "m.{{split(1,-)}}", "l.-", Some("m."));
}

#[test]
fn streams_leave_subjects_with_wildcard_tokens_alone() {
    let transform = Transform::new("l.*.*", "m.$2.$1").unwrap();
    assert_eq!(transform.apply_literal(b"l.a.b", 0).as_deref(), Some(&b"m.b.a"[..]));
    for subject in [&b"l.*.b"[..], b"l.a.>", b"l.a.*", b"l.q", b"l..b"] {
        assert_eq!(transform.apply_literal(subject, 0), None);
    }
}

#[test]
fn random_stays_below_its_bound_and_reaches_all_of_it() {
    let transform = Transform::new("a", "{{random(3)}}.{{random(3)}}").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for rand in 0..300_u64 {
        seen.insert(transform.apply(b"a", rand.wrapping_mul(0x1234_5678_9abc_def1)).unwrap());
    }
    let all = (0..9).map(|n| format!("{}.{}", n / 3, n % 3).into_bytes()).collect();
    assert_eq!(seen, all);
    for none in ["{{random(0)}}", "{{random(-1)}}", "{{random(1)}}"] {
        let transform = Transform::new("a", none).unwrap();
        assert_eq!(transform.apply(b"a", u64::MAX).as_deref(), Some(&b"0"[..]));
    }
}

#[test]
fn refuses_a_source_that_may_not_be_subscribed_to() {
    for src in ["a..", "a b", "a.>.b", ".", "a."] {
        let error = Transform::new(src, "x").unwrap_err();
        assert_eq!(error, TransformError::InvalidSubject, "{src}");
        assert_eq!(Transform::new(src, "").unwrap_err(), TransformError::InvalidSubject, "{src}");
    }
}
