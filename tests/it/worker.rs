//! The worker child as the server sees it: confined, killable, and gone when it should be.

use crate::harness::{Server, media};
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process};
use slipway::ids::{Epoch, JobId};
use slipway::model::job::Task;
use slipway::model::problem::ProblemCode;
use slipway::units::{ByteCount, UnixMillis};
use slipway::wire::{
    self, EncodeOptions, Extent, Limits, OUTPUT_FD, Order, Report, SOURCE_FD, SandboxLayer,
    WIRE_VERSION,
};
use slipway::worker::{Child, Ending, Event, Launch, SelfCheck, self_check_program, start_program};
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_slipway");

/// Longer than any test waits; a stall is only looked for where a test provokes one.
const NEVER_MS: u64 = 120_000;

fn order(size: u64) -> Order {
    let now = UnixMillis(1_700_000_000_000);
    Order {
        version: WIRE_VERSION,
        job: JobId::fresh(now),
        epoch: Epoch(1),
        source: Extent::whole(ByteCount(size)),
        encrypted: Vec::new(),
        arrived: None,
        is_open_ended: false,
        renditions_done: Vec::new(),
        seconds_done: 0.0,
        begun: Vec::new(),
        extras_done: Vec::new(),
        sounds_unfit: Vec::new(),
        pictures_unfit: false,
        spans: 1,
        span: None,
        task: Task::Film,
        encode: EncodeOptions {
            ladder_heights: None,
            preset: "veryfast".to_owned(),
            segment_seconds: 4,
            loudness: false,
            threads: 1,
        },
        limits: Limits {
            pixels_max: 36_000_000,
            duration_ms_max: 3_600_000,
            memory_bytes_max: 3 << 30,
            cpu_seconds_max: 600,
            file_bytes_max: 1 << 30,
            streams_max: 16,
        },
    }
}

/// A film of a minute that takes far longer to encode than any test here looks at it. Its key
/// frames are so far apart that its pictures can't be copied.
fn film() -> PathBuf {
    media("one-key-60s.mp4")
}

/// A film of the same kind that is soon done.
fn short_film() -> PathBuf {
    media("one-key-5s.mp4")
}

struct Work {
    output: TempDir,
    launch: Launch,
}

fn work(source: &Path) -> Work {
    let output = tempfile::tempdir().expect("a directory");
    let source = File::open(source).expect("the source is there");
    let size = source.metadata().expect("a file").len();
    let directory = File::open(output.path()).expect("the directory is there");
    let launch = Launch {
        order: order(size),
        sources: vec![source.into()],
        output: directory.into(),
        stall_ms: NEVER_MS,
    };
    Work { output, launch }
}

fn begin(launch: Launch) -> Child {
    start_program(Path::new(PROGRAM), launch).expect("a child starts")
}

/// Hears a child to its end.
async fn hear_out(child: &mut Child) -> (Vec<Report>, Ending) {
    let mut reports = Vec::new();
    loop {
        match child.next().await {
            Event::Report(report) => reports.push(report),
            Event::Ended(ending) => return (reports, ending),
        }
    }
}

fn signal(id: u32, signal: Signal) {
    let pid = Pid::from_raw(id.try_into().expect("a process id")).expect("a process id");
    kill_process(pid, signal).expect("the child is there");
}

fn is_gone(id: u32) -> bool {
    !Path::new(&format!("/proc/{id}")).exists()
}

/// Waits for the first report, which must be the child's word that it is confined, and halts it.
async fn halt_when_confined(child: &mut Child) -> Vec<SandboxLayer> {
    let first = child.next().await;
    signal(child.id(), Signal::STOP);
    match first {
        Event::Report(Report::Confined { version: WIRE_VERSION, layers }) => layers,
        other => unreachable!("the first word is about confinement, not {other:?}"),
    }
}

/// The self check starts a child of the very program and tells what holds it.
#[tokio::test]
async fn the_self_check_names_the_layers() {
    let check: SelfCheck = self_check_program(Path::new(PROGRAM)).await.expect("an answer");
    for layer in [SandboxLayer::Rlimits, SandboxLayer::NoNewPrivs, SandboxLayer::Seccomp] {
        assert!(check.layers.contains(&layer), "{check:?}");
    }
    assert_eq!(check.layers.contains(&SandboxLayer::Landlock), check.landlock_abi.is_some());
    assert!(!check.media.is_empty(), "{check:?}");
    let refused = self_check_program(Path::new("/bin/true")).await;
    assert!(refused.is_err(), "a program that says nothing is no worker");
}

/// Says whether one of FFmpeg's libraries is in a process's memory.
fn has_ffmpeg(id: u32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).expect("the process is there");
    assert!(maps.contains("libc.so"), "{maps}");
    ["libav", "libsw"].iter().any(|name| maps.contains(name))
}

/// FFmpeg is in the child's memory and in nobody else's: a serving process that mapped it would
/// hand whoever broke out of one bug the next one.
#[tokio::test]
async fn only_the_child_has_ffmpeg() {
    let server = Server::start();
    assert!(
        !has_ffmpeg(server.pid()),
        "a function of FFmpeg is called that media::libraries doesn't name: {}",
        undefined_in_program()
    );
    let mut child = begin(work(&film()).launch);
    halt_when_confined(&mut child).await;
    assert!(has_ffmpeg(child.id()));
    child.kill().await;
}

/// Returns what the linker left for FFmpeg's libraries to define.
fn undefined_in_program() -> String {
    let listed = Command::new("nm").args(["-D", "--undefined-only", PROGRAM]).output();
    let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let lines = listed.unwrap_or_default();
    let names: Vec<&str> = lines.lines().filter(|line| line.contains("@LIB")).collect();
    names.join(", ")
}

/// What a process has open.
fn open_files(proc: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(proc.join("fd")).expect("descriptors").flatten();
    // The descriptor by which this directory is read may be gone again.
    entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// While a child works, the kernel itself confirms that every thread of it is filtered and can't
/// gain privileges, that it sees no environment, and that nothing of the server's is open in it.
#[tokio::test]
async fn a_working_child_is_confined() {
    // Whoever started the tests may have left files open for everybody, such as a lock.
    let before = open_files(Path::new("/proc/self"));
    let secret = File::open("/etc/passwd").expect("something that the server has open");
    let Work { output, launch } = work(&film());
    let mut child = begin(launch);
    let layers = halt_when_confined(&mut child).await;
    assert!(layers.contains(&SandboxLayer::Seccomp), "{layers:?}");
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    for task in fs::read_dir(proc.join("task")).expect("threads") {
        let status = task.expect("a thread").path().join("status");
        let status = fs::read_to_string(status).expect("a status");
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{line}: {status}");
        }
    }
    assert_eq!(fs::read(proc.join("environ")).expect("readable"), b"");
    assert_eq!(fs::read_link(proc.join("cwd")).expect("readable"), Path::new("/"));
    let limits = fs::read_to_string(proc.join("limits")).expect("readable");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).expect(name);
        line[name.len()..].split_whitespace().next().expect("a soft limit").to_owned()
    };
    assert_eq!(limit("Max address space"), (3_u64 << 30).to_string());
    assert_eq!(limit("Max cpu time"), "600");
    assert_eq!(limit("Max file size"), (1_u64 << 30).to_string());
    let core = limit("Max core file size");
    assert!(core == "0" || core == "1", "1 is none for the kernel: {core}");
    for target in open_files(&proc) {
        let own = target.starts_with(output.path()) || target == film();
        let pipe = target.to_string_lossy().starts_with("pipe:");
        assert!(own || pipe || before.contains(&target), "{}", target.display());
    }
    drop(secret);
    child.kill().await;
    assert!(is_gone(child.id()));
}

/// A source in as many files as there may be is read like the one file
/// that it makes, with descriptors to spare for the work.
#[tokio::test]
async fn a_source_in_many_files_is_read_as_one() {
    let bytes = fs::read(media("silent.mp4")).expect("generated");
    let Work { output, mut launch } = work(&media("silent.mp4"));
    let directory = tempfile::tempdir().expect("a directory");
    let each = bytes.len().div_ceil(wire::SOURCE_FILES_MAX);
    launch.order.source.clear();
    launch.sources.clear();
    for (file, piece) in (0..).zip(bytes.chunks(each)) {
        let path = directory.path().join(file.to_string());
        // What lies behind the piece isn't part of the film.
        fs::write(&path, [piece, b"something else"].concat()).expect("written");
        launch.sources.push(File::open(&path).expect("it is there").into());
        let length = ByteCount(piece.len() as u64);
        launch.order.source.push(Extent { file, length });
    }
    assert_eq!(launch.sources.len(), wire::SOURCE_FILES_MAX);
    drop(directory);
    let (reports, ending) = hear_out(&mut begin(launch)).await;
    assert_eq!(ending, Ending::Done, "{reports:?}");
    assert!(fs::read_dir(output.path()).expect("output").count() > 1);
}

/// A child that is killed from outside is known as such: it is no proof about the file.
#[tokio::test]
async fn a_killed_child_is_told_from_a_crashed_one() {
    let mut child = begin(work(&film()).launch);
    halt_when_confined(&mut child).await;
    signal(child.id(), Signal::KILL);
    let (_, ending) = hear_out(&mut child).await;
    assert_eq!(ending, Ending::Killed);
    assert_eq!(child.next().await, Event::Ended(ending), "the end stays the end");
    assert!(is_gone(child.id()));
}

/// Killing is final and may be done twice.
#[tokio::test]
async fn killing_twice_is_killing_once() {
    let mut child = begin(work(&film()).launch);
    child.kill().await;
    assert!(is_gone(child.id()));
    child.kill().await;
    let (reports, ending) = hear_out(&mut child).await;
    assert!(reports.is_empty());
    assert!(matches!(ending, Ending::Failed(p) if p.code == ProblemCode::Cancelled));
}

/// A child that stands still is killed and called stalled.
#[tokio::test]
async fn a_halted_child_has_stalled() {
    let mut work = work(&film());
    work.launch.stall_ms = 1_500;
    let mut child = begin(work.launch);
    halt_when_confined(&mut child).await;
    let (_, ending) = hear_out(&mut child).await;
    assert_eq!(ending, Ending::Stalled);
    assert!(is_gone(child.id()));
}

/// When the server is gone its end of the pipe closes, and that alone ends the child.
#[test]
fn a_closed_pipe_ends_the_child() {
    let Work { output: _output, launch } = work(&film());
    let mut command = Command::new(PROGRAM);
    command.arg("worker").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
    let [source] = launch.sources.try_into().expect("one file");
    let descriptors = vec![
        FdMapping { parent_fd: source, child_fd: SOURCE_FD },
        FdMapping { parent_fd: launch.output, child_fd: OUTPUT_FD },
    ];
    command.fd_mappings(descriptors).expect("two numbers");
    let mut child = command.spawn().expect("a child starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    wire::send(&mut stdin, &launch.order).expect("it listens");
    let first = wire::receive::<Report>(&mut stdout).expect("a report");
    assert!(matches!(first, Some(Report::Confined { .. })));
    drop(stdin);
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
}

/// A dropped handle leaves no process behind.
#[tokio::test]
async fn a_dropped_child_is_killed() {
    let mut child = begin(work(&film()).launch);
    halt_when_confined(&mut child).await;
    let id = child.id();
    let pid = Pid::from_raw(id.try_into().expect("a process id")).expect("a process id");
    let flags = rustix::process::PidfdFlags::empty();
    let handle = rustix::process::pidfd_open(pid, flags).expect("the child is there");
    drop(child);
    let mut ended = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
    let deadline = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
    let count = rustix::event::poll(&mut ended, Some(&deadline)).expect("poll works");
    assert_eq!(count, 1, "the process ends");
}

/// Programs that aren't a worker of this build are found out, not believed.
#[tokio::test]
async fn strangers_are_found_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let table = [
        ("echo nonsense; cat", Ending::Unspoken),
        ("echo '{\"type\":\"done\"}'; cat", Ending::Unspoken),
        ("echo '{\"type\":\"confined\",\"version\":999,\"layers\":[]}'; cat", Ending::Unspoken),
        ("head -c 300000 /dev/zero; cat", Ending::Unspoken),
        ("exit 3", Ending::Unspoken),
    ];
    for (index, (script, expect)) in table.into_iter().enumerate() {
        let path = directory.path().join(format!("stranger{index}"));
        fs::write(&path, format!("#!/bin/sh\nPATH=/bin:/usr/bin\n{script}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("its own file");
        let mut child = start_program(&path, work(&film()).launch).expect("it starts");
        let (_, ending) = hear_out(&mut child).await;
        assert_eq!(ending, expect, "{script}");
    }
    let missing = start_program(&directory.path().join("nothing"), work(&film()).launch);
    assert!(missing.is_err(), "what isn't there doesn't start");
}

/// An order of another version is refused by the child itself.
#[tokio::test]
async fn another_version_is_refused() {
    let mut work = work(&film());
    work.launch.order.version = WIRE_VERSION + 1;
    let (reports, ending) = hear_out(&mut begin(work.launch)).await;
    assert_eq!((reports.len(), ending), (0, Ending::Unspoken));
}

/// Under full confinement a film becomes renditions, and every file is there when it is reported.
#[tokio::test]
async fn a_film_is_made_in_confinement() {
    let Work { output, mut launch } = work(&short_film());
    launch.stall_ms = 60_000;
    let mut child = begin(launch);
    let (mut planned, mut completed, mut poster) = (Vec::new(), Vec::new(), false);
    let ending = loop {
        let report = match child.next().await {
            Event::Report(report) => report,
            Event::Ended(ending) => break ending,
        };
        match report {
            Report::Probed { plan, .. } => planned.extend(plan.into_iter().map(|plan| plan.name)),
            Report::Extra { .. } => poster = output.path().join("poster.jpg").exists(),
            Report::Started { rendition, .. } => {
                assert!(output.path().join(rendition).join("init.mp4").exists());
            }
            Report::Segment { rendition, number, segment } => {
                let path = output.path().join(rendition).join(format!("{number}.m4s"));
                assert_eq!(fs::metadata(path).expect("the segment").len(), segment.bytes);
            }
            Report::Completed { rendition } => completed.push(rendition),
            _ => {}
        }
    };
    assert_eq!(ending, Ending::Done);
    assert!(poster && !planned.is_empty());
    planned.sort();
    completed.sort();
    assert_eq!(completed, planned);
}

/// Runs a film into one of its bounds and returns the code of the problem that comes of it.
async fn problem_under(bound: impl FnOnce(&mut Limits)) -> ProblemCode {
    let mut work = work(&film());
    bound(&mut work.launch.order.limits);
    match hear_out(&mut begin(work.launch)).await.1 {
        Ending::Failed(problem) | Ending::Crashed(problem) => problem.code,
        other => unreachable!("no bound lets a film be {other:?}"),
    }
}

/// Each bound of the kernel ends the child with the problem that it means.
#[tokio::test]
async fn bounds_become_problems() {
    for mebibytes in [1, 100] {
        let memory = problem_under(|limits| limits.memory_bytes_max = mebibytes << 20).await;
        assert_eq!(memory, ProblemCode::OutOfMemory, "with {mebibytes} MiB");
    }
    let time = problem_under(|limits| limits.cpu_seconds_max = 1).await;
    assert_eq!(time, ProblemCode::TimedOut);
    let file = problem_under(|limits| limits.file_bytes_max = 20_000).await;
    assert_eq!(file, ProblemCode::DamagedMedia);
}
