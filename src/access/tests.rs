//! Tokens, codes and sessions over a real database.

use super::*;
use tempfile::TempDir;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

struct Place {
    directory: TempDir,
    clock: Clock,
    disk: Disk,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Disk::open(&directory.path().join("data")).expect("a data directory");
        Self { directory, clock: Clock::by_hand(NOW), disk }
    }

    /// Opens the judge over a database of its own name.
    fn access(&self, name: &str) -> Access {
        let state = State::open(&self.directory.path().join(name)).expect("a database");
        Access::new(state, self.clock.clone(), AuthMode::Token)
    }
}

async fn uploader(access: &Access, expires_ms: Option<u64>) -> (String, TokenRecord) {
    let new = NewToken { expires_ms, ..NewToken::of(Role::Uploader) };
    let made = access.create_token(new).await;
    made.expect("a token")
}

/// A token stands for its owner until it runs out or is revoked, and its text is never stored.
#[tokio::test]
async fn tokens_last_until_they_end() {
    let place = Place::new();
    let access = place.access("state");
    let (text, record) = uploader(&access, Some(1_000)).await;
    assert!(is_token_shaped(&text));
    assert_eq!(record.owner, Owner(record.id.to_string()));
    let caller = access.bearer(&text).await.expect("let in");
    assert_eq!((caller.viewer.role, caller.token), (Role::Uploader, Some(record.id)));
    for wrong in ["", "slw_", &text.replace("slw_", "slw-"), &format!("{text}x")] {
        assert!(matches!(access.bearer(wrong).await, Err(Denied::Invalid)), "{wrong}");
    }
    place.clock.advance_ms(1_000);
    assert!(matches!(access.bearer(&text).await, Err(Denied::Invalid)));
    let (text, record) = uploader(&access, None).await;
    assert!(access.revoke_token(record.id).await.expect("revoked"));
    assert!(!access.revoke_token(record.id).await.expect("unknown by now"));
    assert!(matches!(access.bearer(&text).await, Err(Denied::Invalid)));
}

/// A session ends after its time, or with its token, whichever comes first.
#[tokio::test]
async fn sessions_end_with_their_token() {
    let place = Place::new();
    let access = place.access("state");
    let (text, record) = uploader(&access, None).await;
    let cookie = access.redeem_token(&text).await.expect("a session");
    assert_eq!(access.cookie(&cookie).await.expect("let in").token, Some(record.id));
    let (short, _) = uploader(&access, Some(5_000)).await;
    let short = access.redeem_token(&short).await.expect("a session");
    place.clock.advance_ms(5_000);
    assert!(access.cookie(&short).await.is_err());
    assert!(access.cookie(&cookie).await.is_ok());
    place.clock.advance_ms(i64::try_from(SESSION_MS).expect("30 days"));
    assert!(access.cookie(&cookie).await.is_err());
    let cookie = access.redeem_token(&text).await.expect("a session");
    access.revoke_token(record.id).await.expect("revoked");
    assert!(matches!(access.cookie(&cookie).await, Err(Denied::Invalid)));
    assert!(access.cookie(&"x".repeat(10_000)).await.is_err());
}

/// A login code works once, for a quarter of an hour.
#[tokio::test]
async fn login_codes_are_used_up() {
    let place = Place::new();
    let access = place.access("state");
    assert!(matches!(access.login_code().await, Err(AccessError::NoAdmin)));
    let admin = access.ensure_admin_token(&place.disk).await.expect("made").expect("in mode token");
    assert!(admin.fresh);
    let code = access.login_code().await.expect("a code");
    let cookie = access.redeem_code(&code).await.expect("a session");
    assert_eq!(access.cookie(&cookie).await.expect("let in").viewer.role, Role::Admin);
    assert!(matches!(access.redeem_code(&code).await, Err(Denied::Invalid)));
    let late = access.login_code().await.expect("a code");
    place.clock.advance_ms(i64::try_from(LOGIN_CODE_MS).expect("15 minutes"));
    assert!(matches!(access.redeem_code(&late).await, Err(Denied::Invalid)));
}

/// The file's token outlives the database, and stays revoked where another admin can help.
#[tokio::test]
async fn the_admin_token_of_the_file_is_registered_again() {
    let place = Place::new();
    let first = place.access("first");
    let made = first.ensure_admin_token(&place.disk).await.expect("made").expect("a token");
    let text = place.disk.admin_token().expect("read").expect("a token");
    let text = text.trim();
    assert!(made.fresh && first.bearer(text).await.is_ok());
    let again = first.ensure_admin_token(&place.disk).await.expect("known").expect("a token");
    assert_eq!((again.fresh, &again.path), (false, &made.path));
    assert_eq!(first.tokens().expect("tokens").len(), 1);

    let rebuilt = place.access("second");
    assert!(rebuilt.bearer(text).await.is_err());
    rebuilt.ensure_admin_token(&place.disk).await.expect("registered");
    let caller = rebuilt.bearer(text).await.expect("let in");

    let (other, _) = rebuilt.create_token(NewToken::of(Role::Admin)).await.expect("another admin");
    rebuilt.revoke_token(caller.token.expect("an id")).await.expect("revoked");
    rebuilt.ensure_admin_token(&place.disk).await.expect("left alone");
    assert!(rebuilt.bearer(text).await.is_err() && rebuilt.bearer(&other).await.is_ok());
}

/// Mode open has one caller and needs no token.
#[tokio::test]
async fn mode_open_needs_no_token() {
    let place = Place::new();
    let state = State::open(&place.directory.path().join("state")).expect("a database");
    let access = Access::new(state, place.clock.clone(), AuthMode::Open);
    let caller = access.open_caller().expect("everybody");
    assert_eq!((caller.viewer.owner.0.as_str(), caller.viewer.role), (OPEN_OWNER, Role::Admin));
    assert_eq!(access.ensure_admin_token(&place.disk).await.expect("nothing to do"), None);
    assert_eq!(place.disk.admin_token().expect("read"), None);
}

/// What can't work is said when a token is made, with what would.
#[tokio::test]
async fn a_token_that_cant_work_isnt_made() {
    let place = Place::new();
    let access = place.access("state");
    let fault = async |role, user: Option<&str>, scopes: &[&str]| {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        let user = user.map(str::to_owned);
        let new = NewToken { user, scopes, ..NewToken::of(role) };
        access.create_token(new).await.err().map(|error| error.to_string())
    };
    let unknown = fault(Role::Admin, None, &["video:read", "videos"]).await.expect("unknown");
    assert!(unknown.contains("`videos`") && unknown.contains("`upload:create`"), "{unknown}");
    let idle = fault(Role::Viewer, None, &["upload:create"]).await.expect("a viewer can't");
    assert_eq!(idle, "the scope `upload:create` needs uploader");
    let idle = fault(Role::Admin, Some("acme/boss"), &["admin"]).await.expect("no operator");
    assert!(idle.contains("outside of organisations"), "{idle}");
    for name in ["", "a/b/c", "acme/", " ann"] {
        assert!(fault(Role::Viewer, Some(name), &[]).await.is_some(), "{name:?}");
    }
    assert_eq!(fault(Role::Viewer, Some("acme/vic"), &["metrics", "video:read"]).await, None);
    let nothing = NewToken { max_uploads: Some(0), ..NewToken::of(Role::Uploader) };
    assert!(access.create_token(nothing).await.is_err());
    assert_eq!(access.tokens().expect("tokens").len(), 1, "and nothing was kept of the others");
}

/// The last use is told at once, written at most every few minutes, and known after a restart.
#[tokio::test]
async fn the_last_use_is_remembered_roughly() {
    let place = Place::new();
    let state = State::open(&place.directory.path().join("state")).expect("a database");
    let access = Access::new(state.clone(), place.clock.clone(), AuthMode::Token);
    let (text, record) = uploader(&access, None).await;
    let told = || access.tokens().expect("tokens")[0].used_at;
    let stored = || state.token(record.id).expect("it reads").expect("a token").used_at;
    assert_eq!((told(), stored()), (None, None));
    access.bearer(&text).await.expect("let in");
    assert_eq!((told(), stored()), (Some(NOW), Some(NOW)));
    place.clock.advance_ms(299_999);
    access.bearer(&text).await.expect("let in");
    assert_eq!((told(), stored()), (Some(NOW.plus_ms(299_999)), Some(NOW)), "nothing is written");
    place.clock.advance_ms(1);
    let cookie = access.redeem_token(&text).await.expect("a session");
    access.cookie(&cookie).await.expect("let in");
    assert_eq!(stored(), Some(NOW.plus_ms(300_000)));
    let again = Access::new(state.clone(), place.clock.clone(), AuthMode::Token);
    assert_eq!(again.tokens().expect("tokens")[0].used_at, Some(NOW.plus_ms(300_000)));
}
