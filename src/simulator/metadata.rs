//! The simulated metadata service of a virtual machine: temporary keys of its agency.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::agency::MetadataToken;
use super::auth::Key;
use super::work::{Reply, Work};

/// `PUT /meta-data/latest/api/token`
pub(super) fn token(work: &mut Work<'_>) -> Result<Reply, Reply> {
    if work.state.settings.agency.token == MetadataToken::Unsupported {
        return Err(Reply::refused(404, "APIGW.0101", "not found"));
    }
    let life = work
        .asked
        .parts()
        .header("x-metadata-token-ttl-seconds")
        .and_then(|text| text.parse::<u32>().ok());
    if !life.is_some_and(|life| (1..=21_600).contains(&life)) {
        return Err(Reply::refused(
            400,
            "APIGW.0201",
            "X-Metadata-Token-Ttl-Seconds must be 1 to 21600",
        ));
    }
    let token = format!("simulator-metadata-token-{}", work.number);
    work.state.issued.tokens.push(token.clone());
    Ok(Reply::text(token))
}

fn check_token(work: &Work<'_>) -> Result<(), Reply> {
    let sent = work.asked.parts().header("x-metadata-token").map(str::to_owned);
    let known = sent.as_ref().map(|sent| work.state.issued.tokens.contains(sent));
    match (work.state.settings.agency.token, known) {
        (_, Some(true)) | (MetadataToken::Optional, None) | (MetadataToken::Unsupported, _) => Ok(()),
        (MetadataToken::Optional | MetadataToken::Required, _) => Err(Reply::refused(
            401,
            "APIGW.0301",
            "the metadata token is missing or unknown",
        )),
    }
}

/// `GET /openstack/latest/securitykey`
pub(super) fn security_key(work: &mut Work<'_>) -> Result<Reply, Reply> {
    check_token(work)?;
    let agency = work.state.settings.agency;
    if !agency.bound {
        return Err(Reply::refused(
            401,
            "APIGW.0301",
            "Please configure Cloud Service Agency first",
        ));
    }
    let life = TimeDelta::from_std(agency.key_lives).unwrap_or(TimeDelta::hours(1));
    let fresh = |key: &Key| key.expires_at.is_some_and(|end| end - work.now > life / 6);
    let issued = &mut work.state.issued;
    let key = if let Some(key) = issued.current.take().filter(fresh) {
        key
    } else {
        issued.number += 1;
        let key = Key {
            access: format!("SIMTEMP{:04}", issued.number),
            secret: format!("temporary-secret-{:04}", issued.number),
            security_token: Some(format!("temporary+security/token-{:04}==", issued.number)),
            expires_at: work.now.checked_add_signed(life),
        };
        work.state.auth.keys.push(key.clone());
        key
    };
    issued.current = Some(key.clone());
    let end = key
        .expires_at
        .map(|end: DateTime<Utc>| end.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
    Ok(Reply::value(&json!({"credential": {
        "access": key.access, "secret": key.secret, "securitytoken": key.security_token, "expires_at": end,
    }})))
}

/// `GET /openstack/latest/meta_data.json`
pub(super) fn metadata(work: &Work<'_>) -> Result<Reply, Reply> {
    check_token(work)?;
    let shared = work.shared;
    Ok(Reply::value(&json!({
        "uuid": "5b9d6e3c-5d0a-4a8e-8a0e-simulator000", "name": "simulator",
        "availability_zone": format!("{}a", shared.region), "project_id": shared.project_id,
    })))
}
