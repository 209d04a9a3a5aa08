//! The conformance scenarios against a server in this process, over a real socket.
use std::collections::BTreeMap;

use chartward::cli::{Config, House, Target, scenarios, start};

#[test]
fn every_scenario_holds() {
    let config = Config { listen: "127.0.0.1:0".to_owned(), ..Config::default() };
    let house = House::in_memory().unwrap();
    let mut running = start(&config, &house, false, None).unwrap();
    let issuer = house.issuer(&running.base_url).unwrap();
    let mut token = chartward::cli::claims(&running.base_url, 3_600).unwrap();
    token.sub = "ehr".to_owned();
    token.role = "system".to_owned();
    token.organization = Some(config.organization.clone());
    token.purpose_of_use = vec!["TREAT".to_owned()];
    token.scope = "system/*.cruds".to_owned();
    token.assign_ids = true;
    let tokens = BTreeMap::from([("ehr".to_owned(), issuer.sign(&token).unwrap())]);
    let report = Target::new(&running.base_url, tokens).run(&scenarios().unwrap());
    running.stop().unwrap();
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    assert_eq!(report.failed(), 0, "{}", report.table());
}
