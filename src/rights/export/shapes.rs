//! Records in the words of the archive: names as the API writes them, times in RFC 3339.
//!
//! Each record is taken apart with all of its fields named, so that whoever adds one decides here
//! whether people are told it. What is left out is secret, the server's own bookkeeping, or of
//! somebody else.

use crate::disk::UploadMeta;
use crate::ids::TokenId;
use crate::model::access::Bounds;
use crate::model::deed::Deed;
use crate::model::hook::Subject;
use crate::model::upload::Chunks;
use crate::model::whose::{Traces, Whose};
use crate::state::{
    Callback, DeliveryRecord, GrantRecord, Holder, JobRecord, LoginCode, PartRecord,
    RenditionRecord, SessionRecord, StageRecord, Theirs, TokenRecord, TrashRecord, UploadRecord,
    UserRecord, VideoRecord,
};
use crate::units::{ByteCount, UnixMillis};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Returns the list in which a record is told, and what is told of it.
pub(super) fn told(record: Theirs, mine: &Traces) -> (&'static str, Value) {
    match record {
        Theirs::User(record) => ("account", account(record)),
        Theirs::Turn(owner, number) => ("account", json!({ "owner": owner, "turn": number })),
        Theirs::Token(record) => ("tokens", token(record)),
        Theirs::Session(record) => ("sessions", session(record)),
        Theirs::LoginCode(LoginCode { token, expires_at }) => {
            let ends = expires_at.to_rfc3339();
            ("sessions", json!({ "loginLink": true, "tokenId": token, "endsAt": ends }))
        }
        Theirs::Grant(record) => ("grants", grant(*record, mine)),
        Theirs::Upload(record, parts) => ("uploads", upload(*record, &parts, mine)),
        Theirs::Video(record) => ("videos", video(*record)),
        Theirs::Trashed(record) => {
            let TrashRecord { video: record, deleted_at, until } = *record;
            let mut told = video(record);
            told["deletedAt"] = deleted_at.to_rfc3339().into();
            told["removedAt"] = until.to_rfc3339().into();
            ("videos", told)
        }
        Theirs::Job(record) => ("jobs", job(*record)),
        Theirs::Delivery(record) => ("deliveries", delivery(*record)),
    }
}

fn account(record: UserRecord) -> Value {
    let UserRecord { id, name, role, password: _, created_at, disabled, epoch: _, seen_at } =
        record;
    json!({
        "id": id, "name": name, "role": role, "disabled": disabled,
        "createdAt": created_at.to_rfc3339(), "seenAt": time(seen_at),
    })
}

fn token(record: TokenRecord) -> Value {
    let TokenRecord {
        id,
        hash: _,
        role,
        owner,
        name,
        scopes,
        created_at,
        expires_at,
        bounds,
        max_uploads,
        uploads_begun,
        used_at,
    } = record;
    json!({
        "id": id, "role": role, "owner": owner, "name": name, "scopes": scopes,
        "createdAt": created_at.to_rfc3339(), "expiresAt": time(expires_at),
        "limits": limits(bounds), "maxUploads": max_uploads, "uploadsBegun": uploads_begun,
        "usedAt": time(used_at),
    })
}

/// Its id isn't told: it stands in the cookie.
fn session(record: SessionRecord) -> Value {
    let SessionRecord { id: _, holder, created_at, ends_at, browser, system } = record;
    let (user, token) = match holder {
        Holder::User(id, _) => (Some(id), None),
        Holder::Token(id) => (None, Some(id)),
    };
    json!({
        "accountId": user, "tokenId": token, "createdAt": created_at.to_rfc3339(),
        "endsAt": ends_at.to_rfc3339(), "browser": browser, "system": system,
    })
}

fn grant(record: GrantRecord, mine: &Traces) -> Value {
    let GrantRecord {
        id,
        hash: _,
        owner,
        token,
        metadata,
        bounds,
        created_at,
        expires_at,
        upload,
        video,
        used_at,
        parts,
        ended_at,
        remove_at,
        callback,
    } = record;
    let metadata: Map<String, Value> =
        metadata.into_iter().map(|(name, word)| (name, word.into())).collect();
    let callback = callback.map(|Callback { url, secret: _, called: _ }| url);
    json!({
        "id": id, "owner": owner, "tokenId": own(token, mine), "metadata": metadata,
        "limits": limits(bounds), "createdAt": created_at.to_rfc3339(),
        "expiresAt": expires_at.to_rfc3339(), "uploadId": upload, "videoId": video,
        "usedAt": time(used_at), "partsBegun": parts, "endedAt": time(ended_at),
        "forgottenAt": remove_at.to_rfc3339(), "callback": callback,
    })
}

fn upload(record: UploadRecord, parts: &[PartRecord], mine: &Traces) -> Value {
    let UploadRecord {
        id,
        video,
        owner,
        protocol,
        state,
        epoch: _,
        length,
        received,
        filename,
        metadata,
        session,
        created_at,
        changed_at,
        expires_at,
        ended_at,
        concat,
        chunks,
        sha256,
        stranger,
        objection,
        token,
        bounds,
        grant,
    } = record;
    let parts = parts.iter().map(|part| {
        let PartRecord { upload: _, index, size, sha256, at } = part;
        json!({ "index": index, "size": size, "sha256": hex(sha256), "at": at.to_rfc3339() })
    });
    let chunks = chunks
        .map(|Chunks { size, sha256 }| json!({ "size": size, "sha256": sha256 }))
        .unwrap_or_default();
    json!({
        "id": id, "videoId": video, "owner": owner, "protocol": protocol, "state": state,
        "length": length, "received": received.written.as_slice(), "filename": filename,
        "metadata": metadata, "sessionId": session, "createdAt": created_at.to_rfc3339(),
        "changedAt": changed_at.to_rfc3339(), "expiresAt": expires_at.to_rfc3339(),
        "endedAt": time(ended_at), "concat": camel(&concat), "chunks": chunks,
        "parts": parts.collect::<Vec<Value>>(), "sha256": sha256, "refusedMediaType": stranger,
        "refused": camel(&objection), "tokenId": own(token, mine), "limits": limits(bounds),
        "grantId": grant,
    })
}

/// Tells an upload of which there is no record, by what lies beside its bytes.
pub(super) fn stray_upload(meta: UploadMeta) -> Value {
    let UploadMeta {
        version: _,
        upload,
        video,
        owner,
        filename,
        length,
        metadata,
        created_at,
        chunk_size,
        concat,
        protocol,
    } = meta;
    json!({
        "id": upload, "videoId": video, "owner": owner, "protocol": protocol,
        "length": length, "filename": filename, "metadata": metadata,
        "createdAt": created_at.to_rfc3339(), "chunkSize": chunk_size,
        "concat": camel(&concat), "withoutRecord": true,
    })
}

pub(super) fn video(record: VideoRecord) -> Value {
    let VideoRecord {
        id,
        upload,
        job,
        owner,
        kind,
        state,
        playable,
        visibility,
        title,
        description,
        tags,
        filename,
        session,
        size,
        sha256,
        created_at,
        uploaded_at,
        playable_at,
        ready_at,
        facts,
        poster,
        formats,
        chosen,
        small_jobs,
        pictures,
        renditions,
        warnings,
        problem,
        discarded,
        texts,
        captions,
        chapters,
        playback_revoked_at,
        accept,
        grant,
    } = record;
    let renditions = renditions.iter().map(|rendition| {
        let RenditionRecord { plan, state, generation: _, codecs, bandwidth } = rendition;
        json!({ "plan": camel(plan), "state": state, "codecs": codecs, "bandwidth": bandwidth })
    });
    json!({
        "id": id, "uploadId": upload, "jobId": job, "owner": owner, "kind": kind, "state": state,
        "playable": playable, "visibility": visibility, "title": title,
        "description": description, "tags": tags, "filename": filename, "sessionId": session,
        "size": size, "sha256": sha256, "createdAt": created_at.to_rfc3339(),
        "uploadedAt": time(uploaded_at), "playableAt": time(playable_at),
        "readyAt": time(ready_at), "source": camel(&facts), "poster": camel(&poster),
        "formats": camel(&formats), "posterChoice": camel(&chosen), "smallJobs": small_jobs,
        "pictures": camel(&pictures), "renditions": renditions.collect::<Vec<Value>>(),
        "warnings": camel(&warnings), "error": camel(&problem), "originalKept": !discarded,
        "textsInFile": camel(&texts), "captions": camel(&captions), "chapters": camel(&chapters),
        "playbackRevokedAt": time(playback_revoked_at), "accept": accept, "grantId": grant,
    })
}

fn job(record: JobRecord) -> Value {
    let JobRecord {
        id,
        video,
        task,
        live,
        anew: _,
        owner,
        state,
        epoch: _,
        attempt,
        in_vain: _,
        kills: _,
        reached: _,
        priority,
        run_at,
        set_back: _,
        turn: _,
        lease_until: _,
        created_at,
        started_at,
        finished_at,
        stages,
        problem,
        redo,
        left_out,
    } = record;
    let stages = stages.into_iter().map(|stage| {
        let StageRecord { stage, state, attempt, started_at, finished_at } = stage;
        json!({
            "stage": stage, "state": state, "attempt": attempt,
            "startedAt": time(started_at), "finishedAt": time(finished_at),
        })
    });
    json!({
        "id": id, "videoId": video, "task": camel(&task), "live": live, "owner": owner,
        "state": state, "attempt": attempt, "priority": priority, "runAt": run_at.to_rfc3339(),
        "createdAt": created_at.to_rfc3339(), "startedAt": time(started_at),
        "finishedAt": time(finished_at), "stages": stages.collect::<Vec<Value>>(),
        "error": camel(&problem), "redo": redo, "leftOut": left_out,
    })
}

fn delivery(record: DeliveryRecord) -> Value {
    let DeliveryRecord {
        id,
        target,
        event,
        subject,
        at,
        state,
        attempts,
        next_at,
        give_up_at,
        ended_at,
        status,
        error,
        grant,
    } = record;
    let about = match subject {
        Subject::Video(news) => camel(&news),
        Subject::Disk { .. } | Subject::Test => Value::Null,
    };
    json!({
        "id": id, "webhookId": hex(&target), "event": event, "video": about,
        "at": at.to_rfc3339(), "state": state, "attempts": attempts,
        "nextAt": next_at.to_rfc3339(), "givenUpAt": give_up_at.to_rfc3339(),
        "endedAt": time(ended_at), "status": status, "error": error, "grantId": grant,
    })
}

/// Returns what is told of an entry of the audit log; nothing of one that isn't about them. Who
/// else did something, and from where, isn't theirs to know.
pub(super) fn entry(deed: Deed, whose: &Whose, is_mine: impl Fn(&str) -> bool) -> Option<Value> {
    let Deed { n, at, way, actor, token, address, action, object, outcome, count } = deed;
    let is_by_them = actor.as_deref().is_some_and(|it| whose.includes(it))
        || token.as_deref().is_some_and(&is_mine);
    let is_to_them = object.as_deref().is_some_and(|it| whose.includes(it) || is_mine(it));
    if !is_by_them && !is_to_them {
        return None;
    }
    let mut told = json!({
        "number": n, "at": at.to_rfc3339(), "way": way, "action": action, "object": object,
        "outcome": outcome, "count": count, "actor": null,
    });
    if is_by_them {
        told["actor"] = json!(actor);
        told["tokenId"] = json!(token);
        told["address"] = json!(address);
    } else if actor.is_some() {
        told["bySomebodyElse"] = true.into();
    }
    Some(told)
}

/// Returns a token's id if the token is theirs.
fn own(token: Option<TokenId>, mine: &Traces) -> Option<TokenId> {
    token.filter(|token| mine.tokens.contains(token))
}

fn limits(bounds: Bounds) -> Value {
    let Bounds { max_size, accept } = bounds;
    json!({ "maxSize": max_size.map(|ByteCount(bytes)| bytes), "accept": accept })
}

fn time(at: Option<UnixMillis>) -> Option<String> {
    at.map(UnixMillis::to_rfc3339)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a part of a record with names as the API writes them.
fn camel(part: &impl Serialize) -> Value {
    // Nothing in a record has keys that aren't text, which is all that could go wrong.
    renamed(serde_json::to_value(part).unwrap_or_default())
}

fn renamed(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(renamed).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let mut words = name.split('_');
                let mut joined = words.next().unwrap_or_default().to_owned();
                for word in words {
                    let mut letters = word.chars();
                    joined.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                    joined.push_str(letters.as_str());
                }
                (joined, renamed(value))
            });
            Value::Object(fields.collect())
        }
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::deed::{Action, Way};

    /// Names come out as the API writes them, at any depth.
    #[test]
    fn names_are_the_apis() {
        let stored = json!({ "frame_rate": 25, "kept": [{ "a_b_c": 1 }], "plain": "a_b" });
        let told = json!({ "frameRate": 25, "kept": [{ "aBC": 1 }], "plain": "a_b" });
        assert_eq!(renamed(stored), told);
    }

    /// Of what others did to something of theirs they are told what, and not who or from where; of
    /// what isn't about them, nothing.
    #[test]
    fn others_stay_unnamed() {
        let whose = Whose::parse("ann").expect("a name");
        let by = |actor: Option<&str>, object: &str| Deed {
            actor: actor.map(str::to_owned),
            token: actor.map(|_| "t".to_owned()),
            address: "203.0.113.9".parse().ok(),
            ..Deed::new(Way::Http, Action::VideoDeleted, UnixMillis(0)).to(object)
        };
        let told = |deed: Deed| entry(deed, &whose, |name: &str| name == "hers");
        assert_eq!(told(by(Some("bob"), "his")), None);
        let hers = told(by(Some("ann"), "his")).expect("hers");
        assert_eq!((&hers["actor"], &hers["address"]), (&json!("ann"), &json!("203.0.113.9")));
        for (actor, is_other) in [(Some("bob"), true), (None, false)] {
            let told = told(by(actor, "hers")).expect("about hers");
            let text = told.to_string();
            assert!(!text.contains("bob") && !text.contains("203.0.113.9"), "{text}");
            assert_eq!(told.get("bySomebodyElse").is_some(), is_other, "{text}");
        }
        assert!(told(by(None, "ann")).is_some());
    }
}
