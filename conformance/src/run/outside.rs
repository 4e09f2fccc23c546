//! Steps beside the connections: the server's process, other runs of the program, files and the
//! monitoring port.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Answer, Run};
use crate::case::{Action, ServerAction};
use crate::compare::{SHOWN_BYTES, match_body, mismatch};
use crate::http;
use crate::pattern::Pattern;
use crate::text::{show, substitute};

impl Run<'_> {
    pub(super) fn outside(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::File(name, text) => {
                let text = substitute(text, &self.env)?;
                let path = self.directory.join(name);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent).map_err(|e| e.to_string())?;
                }
                std::fs::write(path, text).map_err(|e| e.to_string())
            }
            Action::Server(action) => self.serve(action),
            Action::Run(arguments) => self.execute(arguments),
            Action::Exit(code) => {
                let (found, output) = self.last_run.as_ref().ok_or("nothing was run")?;
                match found == code {
                    true => Ok(()),
                    false => Err(format!("exit code {found}; output:\n{output}")),
                }
            }
            Action::Out(text, wanted) => {
                let pattern = Pattern::new(text, &self.env)?;
                let (_, output) = self.last_run.as_ref().ok_or("nothing was run")?;
                let found = output.lines().find_map(|l| pattern.found_in(l.as_bytes()));
                if found.is_some() != *wanted {
                    return Err(format!("output:\n{output}"));
                }
                self.remember(found.unwrap_or_default());
                Ok(())
            }
            Action::Exists(path, wanted) => {
                let path = PathBuf::from(substitute(path, &self.env)?);
                let deadline = self.patience();
                while path.exists() != *wanted {
                    if Instant::now() > deadline {
                        return Err(format!(
                            "{} {}",
                            path.display(),
                            if *wanted { "is not there" } else { "is there" }
                        ));
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            }
            Action::Holds(path, text) => {
                let path = substitute(path, &self.env)?;
                let found = std::fs::read(&path).map_err(|e| format!("{path}: {e}"))?;
                let captures = match_body(text, found.trim_ascii_end(), false, &self.env)?
                    .map_err(|why| format!("{}\n{why}", mismatch(text, &found)))?;
                self.remember(captures);
                Ok(())
            }
            Action::Peak(range) => {
                let server = self.server.as_ref().ok_or("this case has no server")?;
                match server.peak_mib()? {
                    Some(mib) if !range.holds(mib) => Err(format!("{mib} MiB")),
                    _ => Ok(()),
                }
            }
            Action::Http(path) => {
                let path = substitute(path, &self.env)?;
                let answer = self.ask(path)?;
                self.transcript.push(format!("http {}: {}", answer.path, answer.status));
                self.last_answer = Some(answer);
                Ok(())
            }
            Action::Status(wanted) => match &self.last_answer {
                Some(Answer { status, .. }) if status == wanted => Ok(()),
                Some(Answer { status, body, .. }) => {
                    Err(format!("status {status}: {}", show(body, SHOWN_BYTES)))
                }
                None => Err("nothing was asked".to_owned()),
            },
            Action::Body(text) => self.body(text),
            _ => Err("this step belongs to a connection".to_owned()),
        }
    }

    fn ask(&self, path: String) -> Result<Answer, String> {
        let port = self.server.as_ref().ok_or("this case has no server")?.monitor_port();
        let (status, body) = http::get(port, &path)?;
        Ok(Answer { path, status, body })
    }

    /// A page may tell a moment later of what happens elsewhere (nats-server saves closed connections in a
    /// thread of their own): within the patience it is asked for again.
    fn body(&mut self, text: &str) -> Result<(), String> {
        let deadline = self.patience();
        loop {
            let Answer { path, body, .. } = self.last_answer.as_ref().ok_or("nothing was asked")?;
            match match_body(text, body.trim_ascii_end(), false, &self.env)? {
                Ok(captures) => {
                    self.remember(captures);
                    return Ok(());
                }
                Err(why) if Instant::now() > deadline => {
                    return Err(format!("{}\n{why}", mismatch(text, body)));
                }
                Err(_) => {}
            }
            let path = path.clone();
            std::thread::sleep(Duration::from_millis(20));
            self.last_answer = Some(self.ask(path)?);
        }
    }

    fn serve(&mut self, action: &ServerAction) -> Result<(), String> {
        let limit = Duration::from_millis(self.case.patience_ms.max(5000));
        let server = self.server.as_mut().ok_or("this case has no server")?;
        match action {
            ServerAction::Kill => server.kill()?,
            ServerAction::Term => {
                server.signal("TERM")?;
                match server.wait(limit)? {
                    0 => {}
                    code => return Err(format!("the server ended with {code}")),
                }
            }
            ServerAction::Start => {
                // Their sockets are gone; the names are free for the new server.
                self.conns.clear();
                server.launch()?;
                self.env.insert("pid".to_owned(), server.pid().unwrap_or(0).to_string());
            }
            ServerAction::Signal(name) => server.signal(name)?,
            ServerAction::Exit(code) => match server.wait(limit)? {
                found if found == *code => {}
                found => return Err(format!("the server ended with {found}")),
            },
            ServerAction::Log(text) => {
                let pattern = Pattern::new(text, &self.env)?;
                server.log_line(&pattern, limit)?;
            }
            ServerAction::Config(text) => server.reconfigure(&substitute(text, &self.env)?)?,
        }
        self.transcript.push(format!("server {action:?}"));
        Ok(())
    }

    fn execute(&mut self, arguments: &str) -> Result<(), String> {
        let arguments = substitute(arguments, &self.env)?;
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let limit = Duration::from_secs(6);
        self.last_run = Some(self.program.run(&arguments, &self.directory, limit)?);
        self.transcript.push(format!("ran {} {arguments:?}", self.program.path.display()));
        Ok(())
    }
}
