//! The simulator against a small signed client of its own: documented behaviour, limits, signatures, faults.

mod api;
mod console;
mod faults;
mod keys;
mod vectors;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rds_retentiond::simulator::signature::{Parts, authorization};
use rds_retentiond::simulator::{Backup, Clock, Fleet, Instance, Key, Options, Simulator};
use serde_json::{Value, json};

/// 2026-03-14 02:00:00 UTC.
const START: i64 = 1_773_453_600;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(START + seconds, 0).unwrap()
}

/// A simulator with a clock that stands until it is moved, and a client.
struct Lab {
    simulator: Simulator,
    seconds: Arc<AtomicI64>,
    http: reqwest::Client,
    key: Key,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn code(&self) -> (u16, String) {
        (
            self.status,
            self.json()["error_code"].as_str().unwrap_or_default().to_owned(),
        )
    }

    fn ids(&self, list: &str) -> Vec<String> {
        let field = if list == "delete_results" { "backup_id" } else { "id" };
        let json = self.json();
        json[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry[field].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Lab {
    async fn start(change: impl FnOnce(&mut Options)) -> Self {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let seconds = Arc::new(AtomicI64::new(0));
        let clock: Clock = {
            let seconds = Arc::clone(&seconds);
            Arc::new(move || at(seconds.load(Ordering::SeqCst)))
        };
        let mut options = Options::new(clock);
        super::world::own(&mut options);
        options.settings.deletion_takes = Duration::ZERO;
        change(&mut options);
        let key = options.keys[0].clone();
        let simulator = Simulator::start(options).await.unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .unwrap();
        Self {
            simulator,
            seconds,
            http,
            key,
        }
    }

    /// One SQL Server instance of five backups, `b0` (the oldest, five days) to `b4`.
    async fn small() -> Self {
        Self::start(|options| {
            let backups =
                (0..5).map(|number| Backup::manual(&id(number), HOME, &format!("nightly_{number}"), age(number)));
            options.fleet = Fleet::Given {
                instances: vec![Instance::sql_server(HOME, "prod-1", at(-9_000_000))],
                backups: backups.collect(),
            };
        })
        .await
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn path(&self, rest: &str) -> String {
        format!("/v3/{}/{rest}", self.simulator.project_id())
    }

    async fn send(&self, method: &str, target: &str, body: Option<&str>, key: &Key) -> reqwest::Result<Got> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let host = self.simulator.address().to_string();
        let date = at(self.seconds.load(Ordering::SeqCst))
            .format("%Y%m%dT%H%M%SZ")
            .to_string();
        let mut headers = vec![("host".to_owned(), host), ("x-sdk-date".to_owned(), date)];
        headers.extend(
            key.security_token
                .iter()
                .map(|token| ("x-security-token".to_owned(), token.clone())),
        );
        headers.extend(body.map(|_| ("content-type".to_owned(), "application/json".to_owned())));
        headers.sort();
        let parts = Parts {
            method,
            path,
            query,
            headers: &headers,
            body: body.unwrap_or_default().as_bytes(),
        };
        let signed: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let authorization = authorization(&parts, &signed, &key.access, &key.secret).unwrap();
        let url = format!("{}{target}", self.simulator.url());
        let mut request = self
            .http
            .request(method.parse().unwrap(), url)
            .header("authorization", authorization);
        for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        Self::read(request.body(body.unwrap_or_default().to_owned())).await
    }

    async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Got> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Got {
            status,
            headers,
            text: response.text().await?,
        })
    }

    async fn get(&self, rest: &str) -> Got {
        self.send("GET", &self.path(rest), None, &self.key).await.unwrap()
    }

    async fn list(&self) -> Got {
        self.get(&format!("backups?instance_id={HOME}&backup_type=manual"))
            .await
    }

    async fn batch(&self, ids: &[String]) -> reqwest::Result<Got> {
        let body = json!({"backup_ids": ids}).to_string();
        self.send("POST", &self.path("backups/batch-delete"), Some(&body), &self.key)
            .await
    }
}

const HOME: &str = "a48e43ff268f4c0e879652d65e63d0fbin04";

fn id(number: i64) -> String {
    format!("{number:032x}br04")
}

fn age(number: i64) -> DateTime<Utc> {
    at((number - 5) * 86_400)
}
