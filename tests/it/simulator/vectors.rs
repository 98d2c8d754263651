//! The simulator's signature against the vectors made by the official signer.

use rds_retentiond::simulator::signature::{Parts, authorization, canonical_request};
use serde_json::Value;

const VECTORS: &str = include_str!("../../data/signing_vectors.json");

fn headers(vector: &Value) -> Vec<(String, String)> {
    let given = [&vector["headers"], &vector["headers_added_by_signer"]];
    let pairs = given.into_iter().flat_map(|list| list.as_array().unwrap());
    pairs
        .map(|pair| {
            (
                pair[0].as_str().unwrap().to_owned(),
                pair[1].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

#[test]
fn signatures_are_those_of_the_official_signer() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 22);
    for vector in vectors {
        let text = |field: &str| vector[field].as_str().unwrap();
        let (path, query) = text("sdk_request_target")
            .split_once('?')
            .unwrap_or((text("sdk_request_target"), ""));
        let headers = headers(&vector);
        let parts = Parts {
            method: text("method"),
            path,
            query,
            headers: &headers,
            body: text("body").as_bytes(),
        };
        let signed: Vec<&str> = text("signed_headers").split(';').collect();
        let canonical = canonical_request(&parts, &signed).unwrap();
        assert_eq!(canonical, text("expected_canonical_request"), "{}", text("name"));
        let made = authorization(&parts, &signed, text("ak"), text("sk")).unwrap();
        assert_eq!(made, text("expected_authorization"), "{}", text("name"));
    }
}
