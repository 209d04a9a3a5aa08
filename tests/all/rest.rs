//! The conformance scenarios against a server in this process over a real socket, with a token for each party.
use std::collections::BTreeMap;

use chartward::cli::{Config, Party, Report, SCENARIO_PARTIES, Scenario, Target, scenarios, start};

#[test]
fn every_scenario_holds() {
    let all = scenarios().unwrap();
    let others =
        all.iter().filter(|scenario| scenario.policy.as_deref().is_some_and(|policy| policy != "own-tpo"));
    let others = others.count();
    let report = run("own-tpo", &all);
    assert_eq!(report.failed(), 0, "{}", report.table());
    // All were run but those for a server with another policy; and there are many.
    assert_eq!((report.held() + others, report.waiting()), (all.len(), others));
    assert!(report.held() > 500, "{} scenarios", report.held());
}

#[test]
fn scenarios_of_other_policies_hold() {
    let mut chosen = scenarios().unwrap();
    chosen.retain(|scenario| scenario.policy.as_deref() == Some("tpo"));
    assert!(!chosen.is_empty());
    let report = run("tpo", &chosen);
    assert_eq!((report.failed(), report.waiting()), (0, 0), "{}", report.table());
}

/// Runs scenarios against a server with a default policy, and verifies its store afterwards.
fn run(policy: &str, scenarios: &[Scenario]) -> Report {
    let config =
        Config { listen: "127.0.0.1:0".to_owned(), default_policy: policy.to_owned(), ..Config::default() };
    let house = crate::shared::house();
    let mut running = start(&config, &house, false, None).unwrap();
    let issuer = house.issuer(&running.base_url).unwrap();
    let sign = |party: &Party| issuer.sign(&party.token(&running.base_url, 3_600).unwrap()).unwrap();
    let tokens: BTreeMap<String, String> =
        SCENARIO_PARTIES.iter().map(|party| (party.name.to_owned(), sign(party))).collect();
    let report = Target::new(&running.base_url, tokens).with_policy(policy).run(scenarios);
    running.stop().unwrap();
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    report
}
