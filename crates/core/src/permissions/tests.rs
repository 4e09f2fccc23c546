use super::*;

fn list(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

fn rules(allow: &[&str], deny: &[&str]) -> SubjectRules {
    SubjectRules { allow: list(allow), deny: list(deny) }
}

fn compiled(spec: PermissionsSpec) -> Permissions {
    Permissions::compile(spec).unwrap()
}

#[test]
fn publishing_follows_allow_and_deny() {
    fn check(allow: &[&str], deny: &[&str], subject: &str, expected: bool) {
        let spec = PermissionsSpec { publish: rules(allow, deny), ..Default::default() };
        let actual = compiled(spec).can_publish(subject.as_bytes());
        assert_eq!(actual, expected, "{subject:?} with allow {allow:?}, deny {deny:?}");
    }
    check(&[], &[], "a", true);
    let (allow, deny) = (&["p.>", "q", "*.any"][..], &["p.no.>", "q.any"][..]);
    check(allow, deny, "p.a", true);
    check(allow, deny, "p", false);
    check(allow, deny, "q", true);
    check(allow, deny, "qq", false);
    check(allow, deny, "x.any", true);
    check(allow, deny, "q.any", false);
    check(allow, deny, "p.no.x", false);
    check(allow, deny, "p.no", true);
    // Wildcards in a published subject are literal tokens.
    check(allow, deny, "p.*", true);
    check(allow, deny, "p.>", true);
    check(allow, deny, "*", false);
    check(allow, deny, "p.no.>", false);
    check(&["a.*"], &[], "a.>", true);
    check(&["a.*"], &[], "a.b.c", false);
    check(&["a.*"], &[], "a.", false);
    check(&[], &["a.b"], "a.b", false);
    check(&[], &["a.b"], "a.*", true);
}

#[test]
fn subscribing_follows_allow_deny_and_queues() {
    // Each row was answered so by nats-server 2.15.1, except for the one marked.
    let spec = PermissionsSpec {
        subscribe: rules(
            &["foo.*", "ok2 q1", "ok3", "ok3 q3", "z.>", "dq.>", "ok.>", "g *.dev"],
            &["z.no.>", "dq.x", "dq.x q1", "dq.y q1", "z.deny.*"],
        ),
        ..Default::default()
    };
    let permissions = compiled(spec);
    let check = |subject: &str, queue: Option<&str>, expected: bool| {
        let actual = permissions.can_subscribe(subject.as_bytes(), queue.map(str::as_bytes));
        assert_eq!(actual, expected, "{subject:?} queue {queue:?}");
    };
    check("foo.a", None, true);
    check("foo.*", None, true);
    check("foo.>", None, false); // wider than foo.*; nats-server allows it
    check("foo", None, false);
    check("ok2", None, false);
    check("ok2", Some("q1"), true);
    check("ok2", Some("q2"), false);
    check("ok3", None, true);
    check("ok3", Some("q3"), true);
    check("ok3", Some("q4"), false);
    check("z.>", None, true);
    check("z.no.>", None, false);
    check("z.no.x", None, false);
    check("z.no", None, true);
    check("z.deny.*", None, false);
    check("z.deny.>", None, false);
    check("z.*.>", None, true);
    check("z.*.*", None, true);
    check("dq.x", None, false);
    check("dq.x", Some("q1"), false);
    check("dq.x", Some("q2"), false);
    check("dq.y", None, true);
    check("dq.y", Some("q1"), false);
    check("dq.y", Some("q2"), true);
    check("dq.*", None, true);
    check("dq.*", Some("q1"), true);
    check(">", None, false);
    check("*", None, false);
    check("g", None, false);
    check("g", Some("a.dev"), true);
    check("g", Some("dev"), false);
    check("ok.*", Some("anyq"), true);
    check("", None, false);
    check("foo.*", Some(""), true);
}

#[test]
fn an_overlap_with_deny_is_filtered_at_delivery() {
    let spec = PermissionsSpec {
        subscribe: rules(&[], &["z.no.>", "*.secret", "dq.y q1"]),
        ..Default::default()
    };
    let permissions = compiled(spec);
    let check =
        |subscription: &str, queue: Option<&str>, subject: &str, filter: bool, denied: bool| {
            let row = format!("{subscription:?} {queue:?} receiving {subject:?}");
            let filters = permissions.needs_delivery_filter(subscription.as_bytes());
            assert_eq!(filters, filter, "filter, {row}");
            let queue = queue.map(str::as_bytes);
            assert_eq!(
                permissions.denies_delivery_to(subject.as_bytes(), queue),
                denied,
                "denied, {row}"
            );
        };
    check("z.>", None, "z.no.x", true, true);
    check("z.>", None, "z.yes.x", true, false);
    check("z.no", None, "z.no", false, false);
    check("y.*", None, "y.secret", true, true);
    check("y.*", None, "y.open", true, false);
    check("y.open", None, "y.open", false, false);
    check("dq.*", Some("q1"), "dq.y", true, true);
    check("dq.*", Some("q2"), "dq.y", true, false);
    check("dq.*", None, "dq.y", true, false);
    check("other.a.b", None, "other.a.b", false, false);
}

#[test]
fn a_responder_without_allow_list_may_only_respond() {
    let responses = Some(AllowResponses::default());
    let spec = PermissionsSpec { allow_responses: responses, ..Default::default() };
    assert!(!compiled(spec.clone()).can_publish(b"x"));
    assert!(compiled(spec).can_subscribe(b">", None));
    let publish = rules(&["x"], &[]);
    let spec = PermissionsSpec { publish, allow_responses: responses, ..Default::default() };
    assert!(compiled(spec.clone()).can_publish(b"x"));
    assert!(!compiled(spec).can_publish(b"y"));
    assert!(compiled(PermissionsSpec::default()).reply_tracker().is_none());
}

#[test]
fn replies_are_counted_and_expire() {
    const S: u64 = 1_000_000_000;
    /// Records `r` at 10 s; takes at the given seconds after it and compares each answer.
    fn check(max: i64, expires_s: i64, takes: &[(u64, bool)]) {
        let expires_ns = expires_s * 1_000_000_000;
        let mut tracker = ReplyTracker::new(AllowResponses { max, expires_ns });
        assert!(!tracker.take(b"r", 10 * S), "nothing recorded yet");
        tracker.record(b"r", 10 * S);
        for (index, (after_s, expected)) in takes.iter().enumerate() {
            let actual = tracker.take(b"r", (10 + after_s) * S);
            assert_eq!(actual, *expected, "max {max}, expires {expires_s} s, take {index}");
        }
    }
    check(2, 1, &[(0, true), (0, true), (0, false), (0, false)]);
    check(2, 1, &[(0, true), (1, true), (2, false)]);
    check(2, 1, &[(2, false)]);
    check(0, 0, &[(120, true), (120, false)]);
    check(0, 0, &[(121, false)]);
    check(-1, 1, &[(0, true), (0, true), (0, true), (1, true), (2, false)]);
    check(1, -1, &[(1_000_000, true), (1_000_000, false)]);
}

#[test]
fn a_new_delivery_renews_a_reply() {
    let mut tracker = ReplyTracker::new(AllowResponses::default());
    tracker.record(b"r", 0);
    assert!(tracker.take(b"r", 0));
    tracker.record(b"r", 1);
    assert!(tracker.take(b"r", 1));
    assert!(!tracker.take(b"r", 1));
}

#[test]
fn replies_are_bounded() {
    let unlimited = AllowResponses { max: -1, expires_ns: -1 };
    let mut tracker = ReplyTracker::new(unlimited);
    for index in 0..20_000 {
        tracker.record(format!("r.{index}").as_bytes(), 0);
    }
    assert_eq!(tracker.len(), 16_384);
    assert!(!tracker.take(b"r.0", 0), "the oldest is forgotten");
    assert!(tracker.take(b"r.19999", 0));

    let mut tracker = ReplyTracker::new(unlimited);
    for index in 0..1_100u32 {
        let mut reply = vec![b'x'; 1024];
        reply.extend_from_slice(&index.to_be_bytes());
        tracker.record(&reply, 0);
    }
    assert_eq!(tracker.len(), (1 << 20) / 1028);

    let mut tracker = ReplyTracker::new(AllowResponses { max: 1, expires_ns: 10 });
    tracker.record(b"a", 0);
    tracker.record(b"b", 20);
    assert_eq!(tracker.len(), 1, "what expired goes when the next arrives");
}

#[test]
fn refuses_entries_that_are_no_subjects() {
    fn check(publish: bool, entry: &str, expected: PermissionsError) {
        let rules = rules(&[], &[entry]);
        let spec = match publish {
            true => PermissionsSpec { publish: rules, ..Default::default() },
            false => PermissionsSpec { subscribe: rules, ..Default::default() },
        };
        assert_eq!(Permissions::compile(spec).unwrap_err(), expected);
    }
    let invalid = |entry: &str| PermissionsError::InvalidSubject(entry.to_owned());
    check(true, "a..b", invalid("a..b"));
    check(true, "", invalid(""));
    check(true, "a q", invalid("a q"));
    check(false, "a.>.b q", invalid("a.>.b q"));
    check(false, "", invalid(""));
    check(false, "a b c", PermissionsError::InvalidQueue("a b c".to_owned()));
}

/// Expands one allow and one deny entry. Rows were answered so by nats-server 2.15.1.
fn check_template(
    entry: &str,
    name: &str,
    tags: &[&str],
    allowed: &[&str],
    denied: Option<&[&str]>,
) {
    let (user_tags, account_tags) = (list(tags), list(&["env:prod", "env:Test"]));
    let values = TemplateValues {
        user_name: name,
        user_key: "UKEY",
        user_tags: &user_tags,
        account_name: "acme",
        account_key: "AKEY",
        account_tags: &account_tags,
    };
    let row = format!("{entry:?} for {name:?} with {tags:?}");
    let template = PermissionsSpec { publish: rules(&["keep", entry], &[]), ..Default::default() };
    let kept = [&["keep"], allowed].concat();
    match expand(&template, &values) {
        Ok(expanded) => assert_eq!(expanded.publish, rules(&kept, &[]), "allow, {row}"),
        Err(error) => assert_eq!((allowed, denied), (&["refused"][..], None), "{error}, {row}"),
    }
    let template = PermissionsSpec { publish: rules(&[], &[entry]), ..Default::default() };
    let actual = expand(&template, &values).ok().map(|expanded| expanded.publish.deny);
    assert_eq!(actual, denied.map(list), "deny, {row}");
}

#[test]
fn templates_expand_variables() {
    fn check(entry: &str, name: &str, tags: &[&str], expected: &[&str]) {
        check_template(entry, name, tags, expected, Some(expected));
    }
    check("u.{{name()}}.>", "ann", &[], &["u.ann.>"]);
    check("u.{{name()}}.>", "a.b", &[], &["u.a.b.>"]);
    check("u.{{name()}}", "*", &[], &["u.*"]);
    check("{{name()}}", "{{subject()}}", &[], &["{{subject()}}"]);
    check("{{Name()}}.{{ NAME() }}", "ann", &[], &["ann.ann"]);
    check("x-{{name()}}-{{name()}}y", "ann", &[], &["x-ann-anny"]);
    check("s.{{subject()}}", "ann", &[], &["s.UKEY"]);
    check("{{account-name()}}.{{account-subject()}}", "", &[], &["acme.AKEY"]);
    check("at.{{account-tag(env)}}", "", &[], &["at.prod", "at.Test"]);
    check("{{tag(team)}}.x", "", &["team:red", "team:blue"], &["red.x", "blue.x"]);
    check("{{tag(TEAM)}}.x", "", &["team:Red"], &["Red.x"]);
    check("{{tag(te.am)}}.x", "", &["te.am:a:b"], &["a:b.x"]);
    let tags = &["team:r", "team:b", "loc:x", "loc:y"];
    check("{{tag(team)}}.{{tag(loc)}}", "", tags, &["r.x", "r.y", "b.x", "b.y"]);
    check("{{tag(team)}}.{{tag(team)}}", "", tags, &["r.r", "b.b"]);
    check("{{}}.q", "ann", &[], &["{{}}.q"]);
    check("{{name()}.q", "ann", &[], &["{{name()}.q"]);
    check("{{name()}}}}", "ann", &[], &["ann}}"]);
    check("plain q", "ann", &[], &["plain q"]);
}

#[test]
fn templates_without_a_value() {
    // Left out of allow; the connection is refused for deny.
    fn check(entry: &str, name: &str, tags: &[&str], allowed: &[&str]) {
        check_template(entry, name, tags, allowed, None);
    }
    check("u.{{name()}}", "", &[], &[]);
    check("u.{{name()}}", "a b", &[], &[]);
    check("u.{{name()}}", ".x", &[], &[]);
    check("u.{{name()}}.x", ">", &[], &[]);
    check("{{tag(none)}}.x", "ann", &["team:red"], &[]);
    check("{{tag(team)}}.x", "ann", &["Team:Red", "team", "team:", "teams:x"], &[]);
    check("{{tag(team)}}.x", "ann", &["team:a b", "team:ok"], &["ok.x"]);
    check("{{tag( team )}}.x", "ann", &["team:red"], &[]);
    check("q.{{name()}} q1", "ann", &[], &[]);
    check("{{unknown()}}.q", "ann", &[], &["refused"]);
    check("{{name}}.q", "ann", &[], &["refused"]);
    check("{{ }}.q", "ann", &[], &["refused"]);
    check("a{{b}}c", "ann", &[], &["refused"]);
    let many: Vec<String> = (0..65).map(|index| format!("t:{index}")).collect();
    let tags: Vec<&str> = many.iter().map(String::as_str).chain(["u:1", "u:2"]).collect();
    let few: Vec<&str> = tags[..64].to_vec();
    check("{{tag(t)}}.{{Tag(t)}}", "ann", &tags, &["refused"]);
    let spec =
        PermissionsSpec { publish: rules(&["{{tag(t)}}.{{Tag(t)}}"], &[]), ..Default::default() };
    let few = list(&few);
    let values = TemplateValues { user_tags: &few, ..TemplateValues::default() };
    assert_eq!(expand(&spec, &values).unwrap().publish.allow.len(), 4096);
}

#[test]
fn a_template_whose_allow_list_vanishes_denies_all() {
    let template = PermissionsSpec {
        publish: rules(&["{{tag(none)}}.x"], &["y"]),
        subscribe: rules(&["{{name()}}", "_INBOX.> q"], &[]),
        allow_responses: None,
    };
    let values = TemplateValues { user_name: "ann", ..TemplateValues::default() };
    let expanded = expand(&template, &values).unwrap();
    assert_eq!(expanded.publish, rules(&[], &["y", ">"]));
    assert_eq!(expanded.subscribe, rules(&["ann"], &[]), "an entry with a queue goes too");
    assert!(!compiled(expanded).can_publish(b"anything"));
}
