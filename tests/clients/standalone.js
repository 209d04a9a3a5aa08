// A browser app made with fhirclient as its documentation describes: `iss` in its address starts a launch, and with
// `launch` too, the launch that an EHR has registered. When the browser returns, it uses the granted access and shows the
// results.
"use strict";

const BY_EHR = new URL(location.href).searchParams.has("launch");
const LAUNCH = BY_EHR ? "launch" : "launch/patient";
const SCOPE = `openid fhirUser ${LAUNCH} offline_access patient/*.rs patient/*.cud`;

/** The status that a request fails with, or "done". */
async function outcome(request) {
  try {
    await request;
    return "done";
  } catch (error) {
    return error.statusCode || String(error);
  }
}

/** Uses the grant. All requests go to another origin, so that the browser sends CORS preflight requests first. */
async function use(client) {
  const { scope, access_token: access, refresh_token: refresh } = client.state.tokenResponse;
  const patient = await client.request(`Patient/${client.patient.id}`);
  // One resource per page: the client follows the links to the next pages.
  const found = await client.request("Observation?_count=1&_sort=_id", { flat: true, pageLimit: 0 });
  const observations = found.filter((resource) => resource.resourceType === "Observation");
  const written = await outcome(client.create({
    resourceType: "Observation",
    status: "final",
    code: { text: "Pulse" },
    subject: { reference: `Patient/${patient.id}` },
  }));
  const ofOthers = await outcome(client.request(`Patient/${patient.id === "p1" ? "p2" : "p1"}`));
  await client.refresh();
  const renewed = client.state.tokenResponse;
  return {
    scope,
    user: client.getFhirUser(),
    patient: patient.id,
    observations: observations.map((observation) => observation.id),
    written,
    ofOthers,
    renewed: renewed.access_token !== access && renewed.refresh_token !== refresh,
    after: (await client.patient.read()).id,
    encounter: client.encounter.id,
    banner: client.state.tokenResponse.need_patient_banner,
  };
}

function show(result) {
  const element = document.getElementById("result");
  element.textContent = JSON.stringify(result);
  element.dataset.done = "yes";
}

if (new URL(location.href).searchParams.has("iss")) {
  FHIR.oauth2
    .authorize({ clientId: "app", scope: SCOPE, redirectUri: "standalone.html", pkceMode: "required" })
    .catch((error) => show({ error: String(error) }));
} else {
  FHIR.oauth2.ready().then(use).then(show, (error) => show({ error: String(error) }));
}
