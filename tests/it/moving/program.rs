//! The program with a configuration of its own.

use std::{
    fs,
    process::{Command, Output},
};

use tempfile::TempDir;

/// A directory with a configuration, in which commands run.
pub struct Program {
    directory: TempDir,
    redis_url: String,
}

impl Program {
    pub fn at(redis_url: &str) -> Self {
        let program = Self {
            directory: tempfile::tempdir().unwrap(),
            redis_url: redis_url.to_owned(),
        };
        program.write("listcache.toml", program.config().as_bytes());
        program
    }

    /// Chunks as long as in the fixture. A URL with a password may not stand in it.
    pub fn config(&self) -> String {
        let url = match self.redis_url.contains("pass=") {
            true => "redis://127.0.0.1:1",
            false => &self.redis_url,
        };
        format!("[redis]\nurl = '{url}'\nprefix = 'shop'\n[defaults]\nchunk_len = 4\n[pushed]\nnames = ['promo:*']\n")
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.path().join(name), bytes).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_listcache"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LISTCACHE_") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("RUST_LOG")
            .env("LISTCACHE_REDIS__URL", &self.redis_url);
        command.current_dir(self.directory.path()).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether a command printed texts, and complained of others: with the latter only it must have failed.
#[track_caller]
pub fn check(output: &Output, prints: &[&str], complains: &[&str]) {
    let (out, err) = (stdout(output), stderr(output));
    if prints.is_empty() {
        assert_eq!(output.status.code(), Some(1), "stdout: {out}\nstderr: {err}");
    } else if complains.is_empty() {
        assert_eq!(output.status.code(), Some(0), "stdout: {out}\nstderr: {err}");
    }
    for text in prints {
        assert!(out.contains(text), "no `{text}` in:\n{out}{err}");
    }
    for text in complains {
        assert!(err.contains(text), "no `{text}` in:\n{out}{err}");
    }
}
