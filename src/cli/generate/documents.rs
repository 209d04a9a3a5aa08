//! Documents: consultation notes as text, and sometimes the dictation of a note.
use serde_json::json;

use super::chart::{Chart, LOINC, concept, date, instant};
use super::visit::Visit;

/// The note of a visit.
pub(super) fn note(chart: &mut Chart, visit: &Visit) {
    // Some notes are missing, as records technicians find in real charts.
    if chart.random.percent(5) {
        return;
    }
    let text = format!(
        "Consultation of {}. Complaint and findings fit {}. Treatment begun; return if it does not get better.",
        date(visit.start),
        visit.problem_name.to_lowercase()
    );
    let (binary, reference) = (chart.next_id("text"), chart.next_id("note"));
    chart.push(json!({"resourceType": "Binary", "id": binary, "contentType": "text/plain", "data": base64(text.as_bytes())}));
    let patient = chart.patient();
    chart.push(json!({
        "resourceType": "DocumentReference",
        "id": reference,
        "status": "current",
        "type": concept(LOINC, "11488-4", "Consult note"),
        "subject": patient,
        "date": instant(visit.start + 5_400_000),
        "author": [{"reference": format!("Practitioner/{}", visit.doctor)}],
        "content": [{"attachment": {"contentType": "text/plain", "url": format!("Binary/{binary}"), "title": "Consultation"}}],
        "context": {"encounter": [visit.reference()]},
    }));
    if chart.random.percent(3) {
        dictation(chart, visit);
    }
}

/// A tone of 0.025 seconds, as a WAV file of 8 kHz and 8 bits.
fn dictation(chart: &mut Chart, visit: &Visit) {
    const SAMPLES: u8 = 200;
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + u32::from(SAMPLES)).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    wav.extend_from_slice(&1_u16.to_le_bytes());
    wav.extend_from_slice(&1_u16.to_le_bytes());
    wav.extend_from_slice(&8_000_u32.to_le_bytes());
    wav.extend_from_slice(&8_000_u32.to_le_bytes());
    wav.extend_from_slice(&1_u16.to_le_bytes());
    wav.extend_from_slice(&8_u16.to_le_bytes());
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&u32::from(SAMPLES).to_le_bytes());
    wav.extend((0..SAMPLES).map(|sample| if sample / 9 % 2 == 0 { 160 } else { 96 }));
    let id = chart.next_id("dictation");
    let patient = chart.patient();
    chart.push(json!({
        "resourceType": "Media",
        "id": id,
        "status": "completed",
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/media-type", "code": "audio"}]},
        "subject": patient,
        "encounter": visit.reference(),
        "createdDateTime": instant(visit.start + 4_000_000),
        "operator": {"reference": format!("Practitioner/{}", visit.doctor)},
        "duration": 0.025,
        "content": {"contentType": "audio/wav", "data": base64(&wav), "title": "Dictation"},
    }));
}

fn base64(bytes: &[u8]) -> String {
    crate::model::encode_base64(bytes)
}
