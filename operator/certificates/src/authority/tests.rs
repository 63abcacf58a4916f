use super::*;

const MONTH: Duration = Duration::from_secs(30 * 86_400);

fn names() -> Names {
    Names { dns: vec!["*.main-log.default.svc".into(), "localhost".into()], ips: vec![[127, 0, 0, 1].into()] }
}

fn issue(seed: u8, namespace: &str, broker: &str, role: Role, now_s: u64) -> Pem {
    let authority = Authority::of(&Seed::new([seed; 32]), namespace, broker);
    authority.issue(role, &names(), Epoch::at(now_s, MONTH)).expect("names that are fine")
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let now = 1_700_000_000;
    let first = issue(1, "default", "main", Role::Log, now);
    assert_eq!(first, issue(1, "default", "main", Role::Log, now));
    let later = Epoch::at(now, MONTH).next_rotation() - 1;
    assert_eq!(first, issue(1, "default", "main", Role::Log, later));
}

#[test]
fn another_seed_namespace_or_broker_gives_another_authority() {
    let all = [
        Authority::of(&Seed::new([1; 32]), "default", "main"),
        Authority::of(&Seed::new([2; 32]), "default", "main"),
        Authority::of(&Seed::new([1; 32]), "defaultm", "ain"),
        Authority::of(&Seed::new([1; 32]), "default", "other"),
    ];
    for (n, one) in all.iter().enumerate() {
        assert!(all[n + 1..].iter().all(|other| one.ca() != other.ca()), "{n}");
        let key = one.issuer.key().public_key_raw();
        assert!(all[n + 1..].iter().all(|other| key != other.issuer.key().public_key_raw()), "{n}");
    }
}

#[test]
fn another_role_or_epoch_gives_another_key_of_the_same_authority() {
    let now = 1_700_000_000;
    let all = [
        issue(1, "default", "main", Role::Log, now),
        issue(1, "default", "main", Role::Broker, now),
        issue(1, "default", "main", Role::Operator, now),
        issue(1, "default", "main", Role::Log, Epoch::at(now, MONTH).next_rotation()),
        issue(1, "default", "other", Role::Log, now),
    ];
    for (n, one) in all.iter().enumerate() {
        assert!(all[n + 1..].iter().all(|other| one.key != other.key && one.cert != other.cert), "{n}");
    }
    assert!(all[..4].iter().all(|pem| pem.ca == all[0].ca));
}

#[test]
fn other_names_give_another_certificate_with_another_serial_number() {
    let authority = Authority::of(&Seed::new([1; 32]), "default", "main");
    let epoch = Epoch::at(1_700_000_000, MONTH);
    let issue = |names: &Names| authority.issue(Role::Log, names, epoch).expect("names that are fine");
    let one = issue(&names());
    let other = issue(&Names { ips: vec![], ..names() });
    assert_eq!(one.key, other.key);
    assert_ne!(one.cert, other.cert);
}

#[test]
fn a_name_that_no_certificate_can_hold_is_named() {
    let authority = Authority::of(&Seed::new([1; 32]), "default", "main");
    let names = Names { dns: vec!["näme".into()], ips: vec![] };
    let error = authority.issue(Role::Log, &names, Epoch::at(0, MONTH)).expect_err("no name");
    assert!(error.to_string().contains("\"näme\""), "{error}");
}

#[test]
fn nothing_that_is_debugged_holds_a_key() {
    let pem = issue(1, "default", "main", Role::Log, 1_700_000_000);
    let secret = pem.key.lines().nth(1).expect("a key");
    assert!(!format!("{pem:?}").contains(secret));
    let authority = Authority::of(&Seed::new([1; 32]), "default", "main");
    assert_eq!(format!("{authority:?}"), "Authority { namespace: \"default\", broker: \"main\", .. }");
}
