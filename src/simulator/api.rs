//! One request, from its arrival to its answer: route, journal, faults, gateway, service.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::fault_effects::{self, ActiveFaults};
use super::faults::{DateFault, Op};
use super::journal::Call;
use super::request::IncomingRequest;
use super::state::{Shared, State};
use super::work::{Reply, Work};
use super::{auth, console, iam, metadata, rds, wire};
use crate::http::{Bytes, Request, Response, ServiceAnswer, StatusCode};

/// Answers one request.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Bytes>) -> ServiceAnswer {
    let asked = IncomingRequest::read(request);
    let trouble = ActiveFaults(
        shared
            .faults
            .matching(asked.operation, asked.instance.as_deref(), &asked.backups),
    );
    let (number, latency) = shared.enter(&asked, &trouble);
    let wait = latency + trouble.delay(false);
    if !wait.is_zero() {
        shared.faults.delay(wait).await;
    }
    if trouble.resets(false) {
        return ServiceAnswer::HangUp;
    }
    let request_id = format!("{:032x}", shared.rng(number).u128(..));
    let reply = if let Some(fault) = trouble.status(false) {
        let reply = faulty(&fault, &asked, &request_id);
        shared.note(number, |call| call.status = Some(reply.status));
        reply
    } else {
        let reply = shared.serve(&asked, &trouble, number, &request_id);
        shared.note(number, |call| call.done = reply.done);
        reply
    };
    let wait = trouble.delay(true);
    if !wait.is_zero() {
        shared.faults.delay(wait).await;
    }
    if trouble.resets(true) {
        return ServiceAnswer::HangUp;
    }
    let mut reply = match trouble.status(true) {
        Some(fault) if trouble.status(false).is_none() => faulty(&fault, &asked, &request_id),
        _ => reply,
    };
    if let Some(kind) = trouble.body() {
        (reply.body, reply.content_type) = fault_effects::disguise(kind, reply.body);
    }
    shared.note(number, |call| call.status = Some(reply.status));
    send(&shared, &asked, &trouble, reply, &request_id)
}

fn faulty(fault: &fault_effects::StatusFault<'_>, asked: &IncomingRequest, request_id: &str) -> Reply {
    let iam = asked.operation.is_some_and(Op::is_iam);
    let mut reply = Reply::json(
        fault.status,
        &fault_effects::error_body(fault.status, fault.code, iam, request_id),
    );
    (reply.body, reply.content_type) = fault_effects::disguise(fault.body, reply.body);
    if let Some(value) = fault.retry_after {
        reply.headers.push(("Retry-After", value.to_owned()));
    }
    if (300..400).contains(&fault.status) {
        // A client that follows would hand its headers to whoever listens there: nobody does.
        reply
            .headers
            .push(("Location", "http://127.0.0.1:9/elsewhere".to_owned()));
    }
    reply
}

fn send(
    shared: &Shared,
    asked: &IncomingRequest,
    trouble: &ActiveFaults,
    mut reply: Reply,
    request_id: &str,
) -> ServiceAnswer {
    if matches!(reply.status, 204 | 304) {
        reply.body.clear();
    }
    let mut response = Response::builder().status(StatusCode::from_u16(reply.status).unwrap_or_default());
    let http_date = |at: DateTime<Utc>| at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let now = (shared.clock)();
    let date = match trouble.date() {
        None => Some(http_date(now)),
        Some(DateFault::Missing) => None,
        Some(DateFault::Garbage) => Some("yesterday, about noon".to_owned()),
        Some(DateFault::Off(seconds)) => TimeDelta::try_seconds(seconds)
            .and_then(|off| now.checked_add_signed(off))
            .map(http_date),
    };
    if let Some(date) = date {
        response = response.header("Date", date);
    }
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    response = response
        .header("X-Request-Id", request_id)
        .header("Content-Type", reply.content_type);
    if asked.operation.is_some_and(Op::is_iam) {
        response = response.header("X-IAM-Trace-Id", request_id);
    }
    match response.body(trouble.send(reply.body)) {
        Ok(response) => ServiceAnswer::Send(response),
        // Only a `Retry-After` with a line break in it leads here.
        Err(_) => ServiceAnswer::HangUp,
    }
}

impl Shared {
    /// Writes the request down; its number, and the latency in force.
    fn enter(&self, asked: &IncomingRequest, trouble: &ActiveFaults) -> (usize, std::time::Duration) {
        let at = (self.clock)();
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push(Call {
            number,
            operation: asked.operation,
            method: asked.method.clone(),
            path: asked.path.clone(),
            query: asked.query.clone(),
            claimed: auth::claimed(&asked.parts()),
            access: None,
            instance: asked.instance.clone(),
            backup_ids: asked.backups.clone(),
            faults: trouble.0.iter().map(ToString::to_string).collect(),
            status: None,
            done: false,
            at,
        });
        (number, state.settings.latency)
    }

    fn note(&self, number: usize, note: impl FnOnce(&mut Call)) {
        if let Some(call) = self.state().calls.get_mut(number) {
            note(call);
        }
    }

    /// Gateway and service.
    fn serve(&self, asked: &IncomingRequest, trouble: &ActiveFaults, number: usize, request_id: &str) -> Reply {
        let now = (self.clock)();
        let mut state = self.state();
        let takes = state.settings.deletion_takes;
        state.world.settle(now, takes);
        let creation_takes = state.settings.creation_takes;
        state.world.finish_backups(now, creation_takes);
        let Some(operation) = asked.operation else {
            return Reply::json(404, &wire::gateway_error("APIGW.0101", "API not found", request_id));
        };
        if !operation.is_metadata()
            && let Some(refusal) = self.refusal(asked, &mut state, number, request_id)
        {
            return refusal;
        }
        let mut work = Work {
            shared: self,
            state: &mut state,
            asked,
            trouble,
            now,
            number,
        };
        let reply = match operation {
            Op::ListInstances => rds::list_instances(&work),
            Op::ListBackups => rds::list_backups(&work),
            Op::ListRetained => rds::list_retained(&work),
            Op::DeleteBatch => rds::delete_batch(&mut work),
            Op::DeleteOne => rds::delete_one(&mut work),
            Op::CreateBackup => console::create_backup(&mut work),
            Op::DeleteInstance => console::delete_instance(&mut work),
            Op::ListRetainPolicies => console::list_retain_policies(&work),
            Op::ListTasks => console::list_tasks(&work),
            Op::ShowQuotas => Ok(console::show_quotas(&work)),
            Op::ShowBackupPolicy => console::show_backup_policy(&work),
            Op::SetBackupPolicy => console::set_backup_policy(&mut work),
            Op::ListProjects => Ok(iam::list_projects(&work)),
            Op::ListDomains => Ok(iam::list_domains(&work)),
            Op::IssueToken => iam::issue_token(&mut work),
            Op::MetadataToken => metadata::token(&mut work),
            Op::SecurityKey => metadata::security_key(&mut work),
            Op::Metadata => metadata::metadata(&work),
        };
        state.world.settle(now, takes);
        reply.unwrap_or_else(|refusal| refusal)
    }

    /// What the gateway refuses before any service sees it: too many requests, a wrong signature, another project.
    fn refusal(&self, asked: &IncomingRequest, state: &mut State, number: usize, request_id: &str) -> Option<Reply> {
        if let Some(limit) = state.auth.throttle() {
            let mut reply = Reply::json(429, &fault_effects::error_body(429, None, false, request_id));
            reply
                .headers
                .extend(limit.retry_after.map(|seconds| ("Retry-After", seconds.to_string())));
            return Some(reply);
        }
        let any_date = state.settings.any_signature_date;
        match state
            .auth
            .admit(asked.operation, &asked.parts(), (self.clock)(), any_date)
        {
            Ok(access) => {
                if let Some(call) = state.calls.get_mut(number) {
                    call.access = access;
                }
            }
            Err(why) => {
                let message = format!("Incorrect IAM authentication information: {why}");
                return Some(Reply::json(
                    401,
                    &wire::gateway_error("APIGW.0301", &message, request_id),
                ));
            }
        }
        let header = asked.parts().header("x-project-id").map(str::to_owned);
        let foreign = |project: &String| *project != self.project_id;
        let is_foreign = asked
            .project
            .as_ref()
            .is_some_and(|project| foreign(project) || header.as_ref().is_some_and(foreign));
        is_foreign.then(|| Reply::refused(403, "DBS.200010", "Unauthorized operation: project mismatch."))
    }
}
