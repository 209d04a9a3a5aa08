//! The hospital itself: organizations, departments, professionals, and the insurer.
use serde_json::{Value, json};

use super::chart::{SNOMED, concept};

const DEPARTMENTS: [(&str, &str); 5] = [
    ("medicine", "General medicine"),
    ("surgery", "Surgery"),
    ("pediatrics", "Pediatrics"),
    ("oncology", "Oncology"),
    ("emergency", "Emergency"),
];
/// Id, family, given, department.
pub(super) const PROFESSIONALS: [(&str, &str, &str, &str); 8] = [
    ("d1", "Adler", "Ruth", "medicine"),
    ("d2", "Bosch", "Henk", "medicine"),
    ("d3", "Curtis", "Joan", "surgery"),
    ("d4", "Dahl", "Erik", "pediatrics"),
    ("d5", "Engel", "Marta", "oncology"),
    ("d6", "Farah", "Omar", "emergency"),
    ("d7", "Gupta", "Asha", "medicine"),
    ("d8", "Hall", "Peter", "oncology"),
];
/// Id, family, given: a health-records technician and the privacy officer.
const STAFF: [(&str, &str, &str); 2] = [("t1", "Ivers", "Lena"), ("o1", "Jonas", "Paul")];

pub(super) fn resources() -> Vec<Value> {
    let mut all = vec![
        organization("hospital", "Riverside General Hospital", "prov"),
        organization("acme", "Acme Health Insurance", "ins"),
        organization("lakeside", "Lakeside Clinic", "prov"),
    ];
    for (id, name) in DEPARTMENTS {
        all.push(json!({
            "resourceType": "Organization",
            "id": format!("hospital-{id}"),
            "active": true,
            "type": [concept("http://terminology.hl7.org/CodeSystem/organization-type", "dept", "Hospital department")],
            "name": name,
            "partOf": {"reference": "Organization/hospital"},
        }));
        all.push(json!({
            "resourceType": "Location",
            "id": format!("ward-{id}"),
            "status": "active",
            "name": format!("Ward {name}"),
            "mode": "instance",
            "managingOrganization": {"reference": format!("Organization/hospital-{id}")},
        }));
    }
    for (id, family, given, department) in PROFESSIONALS {
        all.push(json!({
            "resourceType": "Practitioner",
            "id": id,
            "identifier": [{"system": "urn:example:staff", "value": id}],
            "active": true,
            "name": [{"family": family, "given": [given], "prefix": ["Dr."]}],
        }));
        all.push(json!({
            "resourceType": "PractitionerRole",
            "id": format!("role-{id}"),
            "active": true,
            "practitioner": {"reference": format!("Practitioner/{id}")},
            "organization": {"reference": format!("Organization/hospital-{department}")},
            "code": [concept(SNOMED, "309343006", "Physician")],
        }));
    }
    for (id, family, given) in STAFF {
        all.push(json!({
            "resourceType": "Practitioner",
            "id": id,
            "identifier": [{"system": "urn:example:staff", "value": id}],
            "active": true,
            "name": [{"family": family, "given": [given]}],
        }));
    }
    all
}

fn organization(id: &str, name: &str, kind: &str) -> Value {
    json!({
        "resourceType": "Organization",
        "id": id,
        "identifier": [{"system": "urn:example:organization", "value": id}],
        "active": true,
        "type": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/organization-type", "code": kind}]}],
        "name": name,
    })
}
