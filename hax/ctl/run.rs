//! Running the commands.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use super::args::{Bootstrap, Cli, Command, Kv, Load};
use super::failure::Failure;
use super::load::{Comparison, Loaded};
use super::{bootstrap, cluster, consul, dead_letters, fence, input, kv_file, load, output};

/// Bytes of a description that is read at all.
const DESCRIPTION_MAX: u64 = 4 << 20;

/// Runs the program: results on stdout, problems on stderr.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Where it cannot be printed, there is nobody to tell.
            let _ = error.print();
            let wrong = error.use_stderr();
            return if wrong {
                (&Failure::Usage(String::new())).into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = match cli.command {
        Command::Fence(args) => return print(block_on(fence::run(&args))),
        Command::Kv(Kv::Load(args)) => load_file(&args),
        Command::DeadLetters(args) => block_on(dead_letters::run(&args)),
        Command::Bootstrap(args) => make(&args),
    };
    print(done.map(fence::Done::from))
}

/// Results to stdout, problems to stderr; a command may have both.
fn print(done: Result<fence::Done, Failure>) -> ExitCode {
    let (text, failure) = match done {
        Ok(done) => (done.text, done.failure),
        Err(failure) => (String::new(), Some(failure)),
    };
    let printed = io::stdout().write_all(text.as_bytes());
    match (failure, printed) {
        (Some(failure), _) => {
            for line in failure.to_string().lines() {
                let _ = writeln!(io::stderr(), "haxctl: {line}");
            }
            (&failure).into()
        }
        (None, Ok(())) => ExitCode::SUCCESS,
        (None, Err(_)) => ExitCode::FAILURE,
    }
}

/// Runs what talks to Consul.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|error| Failure::Other(error.to_string()))?
        .block_on(future)
}

fn load_file(args: &Load) -> Result<String, Failure> {
    let file = kv_file::read(&args.file)?;
    let client = consul::client(args.consul.as_deref())?;
    let mut text = String::new();
    if file.repeated > 0 {
        let _ = writeln!(text, "{} pairs occur more than once", file.repeated);
    }
    for key in &file.redefined {
        let _ = writeln!(text, "{key} has several values; the last one counts");
    }
    block_on(async {
        let comparison = load::compare(&client, file.entries).await?;
        if args.dry_run {
            describe(&mut text, &comparison, args.force);
            return Ok(());
        }
        let loaded = load::apply(&client, comparison, args.force, progress()).await;
        summarise(&mut text, loaded.map_err(forcible)?);
        Ok(())
    })?;
    Ok(text)
}

fn make(args: &Bootstrap) -> Result<String, Failure> {
    if args.out.is_none() && args.consul.is_none() && !args.dry_run {
        let why = "nothing to do: give --out, --consul, or --dry-run (see haxctl bootstrap --help)";
        return Err(Failure::Usage(why.to_owned()));
    }
    let description = input::read(&args.description, DESCRIPTION_MAX)?;
    let name = args.description.display().to_string();
    let cluster = cluster::parse(&name, &description).map_err(Failure::BadDescription)?;
    let plan = bootstrap::plan(&cluster)?;
    if args.dry_run {
        return Ok(show(&plan));
    }

    let mut text = String::new();
    // Both are compared before either is written.
    if let (Some(directory), false) = (&args.out, args.force) {
        output::check(directory, &plan.files)?;
    }
    if let Some(address) = &args.consul {
        let client = consul::client(Some(address))?;
        block_on(async {
            let comparison = load::compare(&client, plan.entries).await?;
            let loaded = load::apply(&client, comparison, args.force, progress()).await;
            summarise(&mut text, loaded.map_err(forcible)?);
            Ok(())
        })?;
    }
    if let Some(directory) = &args.out {
        let done = output::write(directory, &plan.files, args.force)?;
        let directory = directory.display();
        let output::Written { written, same } = done;
        let _ = writeln!(
            text,
            "files in {directory}: {written} written, {same} as they should be"
        );
    }
    Ok(text)
}

/// Everything a plan has, for reading.
fn show(plan: &bootstrap::Plan) -> String {
    let mut text = String::from("==> KV\n");
    for entry in &plan.entries {
        let _ = writeln!(text, "{} = {}", entry.key, entry.value);
    }
    for file in &plan.files {
        let _ = write!(text, "\n==> {}\n{}", file.path.display(), file.text);
    }
    text
}

fn describe(text: &mut String, comparison: &Comparison, force: bool) {
    for entry in &comparison.missing {
        let _ = writeln!(text, "create {}", entry.key);
    }
    let word = if force { "replace" } else { "conflict" };
    for difference in &comparison.different {
        let _ = writeln!(text, "{word} {}", difference.describe());
    }
    let Comparison {
        missing,
        same,
        different,
    } = comparison;
    let (missing, different) = (missing.len(), different.len());
    let _ = writeln!(
        text,
        "keys: {missing} missing, {different} different, {same} as they should be"
    );
}

fn summarise(text: &mut String, loaded: Loaded) {
    let Loaded {
        created,
        replaced,
        same,
    } = loaded;
    let _ = writeln!(
        text,
        "keys: {created} created, {replaced} replaced, {same} as they should be"
    );
}

/// Adds what to do about a conflict.
fn forcible(failure: Failure) -> Failure {
    match failure {
        Failure::Conflict(mut conflicts) => {
            conflicts.insert(
                0,
                "keys have other values, --force replaces them:".to_owned(),
            );
            Failure::Conflict(conflicts)
        }
        other => other,
    }
}

/// A line on a terminal that counts; nothing where nobody watches.
fn progress() -> impl FnMut(usize, usize) {
    let watched = io::stderr().is_terminal();
    move |done, total| {
        if watched {
            let end = if done == total { "\n" } else { "" };
            let _ = write!(io::stderr(), "\r{done} of {total} keys{end}");
        }
    }
}
