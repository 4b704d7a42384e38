//! Who may not call: pages of other origins, without a token, with a used or somebody else's one.

use crate::page::system;

/// Status and body of a request to the gateway's side for pages.
fn ask(base: &str, method: &str, origin: Option<&str>, token: Option<&str>) -> (u16, String) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("{base}/calls"));
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body("v=0\r\n".to_owned()).expect("a request");
    let mut response = agent.run(request).expect("an answer");
    let text = response.body_mut().read_to_string().expect("text");
    (response.status().as_u16(), text)
}

#[test]
fn a_page_calls_with_its_own_token_once_and_from_its_own_origin() {
    let (network, _folder) = system(65, |layout| layout.speech_s = 1);
    let (layout, origin) = (&network.layout, network.layout.web());
    let base = layout.gateway_a_for_pages();
    let token = || {
        let form = [("number", "+81333331234")];
        let mut response = ureq::post(format!("{origin}/call-token"))
            .header("origin", &origin)
            .send_form(form)
            .expect("a token");
        let text = response.body_mut().read_to_string().expect("text");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["gateways"][0], base);
        json["token"].as_str().expect("a token").to_owned()
    };
    let (good, other) = (token(), token());
    assert_eq!(ask(&base, "OPTIONS", Some("https://evil.example"), None).0, 403);
    assert_eq!(ask(&base, "OPTIONS", Some(&origin), None).0, 204);
    assert_eq!(ask(&base, "POST", None, Some(&good)).0, 403);
    assert_eq!(ask(&base, "POST", Some("https://evil.example"), Some(&good)).0, 403);
    assert_eq!(ask(&base, "POST", Some(&origin), None).0, 401);
    assert_eq!(ask(&base, "POST", Some(&origin), Some("e30.AAAA")).0, 403);
    // The token is good, what it is shown with is no offer; and then it is used.
    let (status, text) = ask(&base, "POST", Some(&origin), Some(&good));
    assert_eq!((status, text.contains("offer")), (400, true), "{text}");
    let (status, text) = ask(&base, "POST", Some(&origin), Some(&good));
    assert_eq!((status, text.contains("token")), (403, true), "{text}");
    // One address begins ten calls a minute, whatever becomes of them.
    assert_eq!(ask(&base, "POST", Some(&origin), Some(&other)).0, 400);
    for _ in 2..10 {
        assert_eq!(ask(&base, "POST", Some(&origin), Some(&token())).0, 400);
    }
    assert_eq!(ask(&base, "POST", Some(&origin), Some(&token())).0, 429);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}
