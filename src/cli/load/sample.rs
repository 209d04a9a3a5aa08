//! Samples of the server's own data, fetched by FHIR searches alone.
use serde_json::Value;

use super::client::{Address, Connection};

/// The number of resources that are fetched of each type.
const SAMPLES_MAX: usize = 100;

/// Sampled resources, and their addresses.
pub(super) struct Samples {
    pub(super) patients: Vec<Value>,
    pub(super) observations: Vec<Value>,
    pub(super) conditions: Vec<Value>,
    pub(super) encounters: Vec<Value>,
    /// `Type/id` of every sampled resource.
    pub(super) reads: Vec<String>,
}

impl Samples {
    /// # Errors
    /// If the server cannot be reached, or refuses a search.
    pub(super) async fn of(address: &Address, token: Option<&str>) -> Result<Self, String> {
        let mut connection = Connection::open(address, token).await?;
        let patients = found(&mut connection, "Patient").await?;
        let observations = found(&mut connection, "Observation").await?;
        let conditions = found(&mut connection, "Condition").await?;
        let encounters = found(&mut connection, "Encounter").await?;
        let all = [&patients, &observations, &conditions, &encounters];
        let reads = all.into_iter().flatten().filter_map(place).collect();
        Ok(Self { patients, observations, conditions, encounters, reads })
    }
}

/// `Type/id` of a resource.
fn place(resource: &Value) -> Option<String> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str);
    Some(format!("{}/{}", text("resourceType")?, text("id")?))
}

async fn found(connection: &mut Connection, type_name: &str) -> Result<Vec<Value>, String> {
    let path = format!("{type_name}?_count={SAMPLES_MAX}");
    let answer = connection.get(&path).await?;
    if answer.status != 200 {
        return Err(format!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)));
    }
    let mut bundle: Value =
        serde_json::from_slice(&answer.body).map_err(|error| format!("{path}: {error}"))?;
    let entries =
        bundle.get_mut("entry").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let of_type = |mut entry: Value| {
        let resource = entry.get_mut("resource").map(Value::take)?;
        (resource.get("resourceType").and_then(Value::as_str) == Some(type_name)).then_some(resource)
    };
    Ok(entries.into_iter().filter_map(of_type).collect())
}
