//! The dead letters.

use axum::http::Request;

use super::*;

async fn ask_for(method: Method, path: &str) -> Reply {
    let router = router(Recorder::accepting(), &Limits::default());
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    ask(&router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn letters_are_listed_replayed_and_discarded() {
    let list = ask_for(Method::GET, "/v1/dead-letters").await;
    assert_eq!(list.json["dead_letters"][0]["error"], "not permitted");
    for path in ["/v1/dead-letters/replay", "/v1/dead-letters/7/replay"] {
        let reply = ask_for(Method::POST, path).await;
        assert_eq!(
            (reply.status, &reply.json),
            (StatusCode::OK, &json!({ "replayed": [7] }))
        );
    }
    let reply = ask_for(Method::DELETE, "/v1/dead-letters/7").await;
    assert_eq!(
        (reply.status, &reply.json),
        (StatusCode::OK, &json!({ "discarded": 7 }))
    );
}

#[tokio::test]
async fn a_letter_that_is_not_there_is_named() {
    for (method, path) in [
        (Method::POST, "/v1/dead-letters/8/replay"),
        (Method::POST, "/v1/dead-letters/x/replay"),
        (Method::DELETE, "/v1/dead-letters/8"),
        (Method::DELETE, "/v1/dead-letters/-1"),
    ] {
        let reply = ask_for(method, path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.json["error"], "no_dead_letter", "{path}");
    }
    let reply = ask_for(Method::GET, "/v1/dead-letters/7").await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_page_in_a_browser_changes_no_letter() {
    let router = router(Recorder::accepting(), &Limits::default());
    for (method, path) in [
        (Method::POST, "/v1/dead-letters/replay"),
        (Method::POST, "/v1/dead-letters/7/replay"),
        (Method::DELETE, "/v1/dead-letters/7"),
    ] {
        let request = || Request::builder().method(&method).uri(path);
        let json = || request().header(header::CONTENT_TYPE, "application/json");
        let form = request().header(header::CONTENT_TYPE, "text/plain");
        let page = json().header(header::ORIGIN, "http://elsewhere.example:8008");
        for (request, status, code) in [
            (request(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            (form, StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            (page, StatusCode::FORBIDDEN, "cross_site"),
        ] {
            let reply = ask(&router, request.body(Body::empty()).unwrap()).await;
            assert_eq!(
                (reply.status, &reply.json["error"]),
                (status, &json!(code)),
                "{path}"
            );
        }
    }
}
