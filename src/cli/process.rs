//! What the process asks of the kernel before it serves.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Keeps what the process has in its memory out of core dumps, and from other processes of its
/// user: there are passwords, tokens and keys among it. Where a pipe takes dumps the limit alone
/// doesn't count, so the process also says of itself that it isn't to be dumped (prctl(2)). A
/// worker has limits of its own and stays visible: the server looks at how it does.
pub(super) fn keep_secrets() {
    // The worker needs the one that is left.
    let highest = getrlimit(Resource::Core).maximum.unwrap_or(1).min(1);
    let none = Rlimit { current: Some(0), maximum: Some(highest) };
    // Neither can be refused to a process that asks for less.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Gets ready to serve: as many descriptors as may be had.
pub(super) fn as_a_server() {
    // Shells and old units give 1024 and allow more; each connection takes two.
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it isn't allowed the server does with what it has, and `doctor` says so.
    let _ = setrlimit(Resource::Nofile, raised);
}
