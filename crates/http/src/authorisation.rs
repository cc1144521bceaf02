//! How to authorise, for the OpenAPI document: which requests need the token, and where they have it.

use super::auth::{Access, Gate};
use super::route::{Route, Service};

/// In Markdown, in paragraphs. Whether this service has a token follows from its gate.
pub(crate) fn described<S: Service>(gate: &Gate) -> String {
    let (changes, reads, open) =
        (operations::<S>(Access::Write), operations::<S>(Access::Read), operations::<S>(Access::Open));
    let header = gate.scheme.header("TOKEN");
    [
        now(gate),
        format!(
            "A service has a token when it is started with the variable `API_TOKEN`. A request that needs it has it in \
             the header `{header}`; without it, or with another one, the answer is 401 (`unauthorized`), and nothing is \
             done."
        ),
        format!("Where there is a token, these need it: {changes}."),
        format!("With `READ_REQUIRES_AUTH=true` besides, these need it too: {reads}."),
        format!("These never need it: {open}, and this documentation."),
        "The curl lines take the token from the shell: `export API_TOKEN=TOKEN` before.".to_owned(),
    ]
    .join("\n\n")
}

/// What is so for this service.
fn now(gate: &Gate) -> String {
    match &gate.auth {
        None => {
            "This service has no token: no request needs one. Changes that a web page of another site asks for are \
                 refused: 403 (`foreign_origin`)."
                .to_owned()
        }
        Some(auth) if auth.reads => "This service has a token: changes and reads need it.".to_owned(),
        Some(_) => "This service has a token: changes need it, reads do not.".to_owned(),
    }
}

/// The operations that are open to the same people.
fn operations<S: Service>(access: Access) -> String {
    let routes = S::ROUTES.iter().filter(|route| route.access == access && route.documented.is_some());
    let names: Vec<String> = routes.map(|Route { method, path, .. }| format!("`{} {path}`", method.name())).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
