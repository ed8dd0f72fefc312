//! A 4+2 pool made for a measurement, on files or on loop devices over preallocated files, and servers of it. All of
//! it lies in one folder and is gone when the pool is dropped.

use crate::loops::LoopDevice;
use crate::process::{ProcessError, Server, io_error, run};
use ashlar_tools::client::Credentials;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Devices of a pool.
pub const DEVICES: usize = 6;

/// What the devices are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Sparse files.
    Files,
    /// Loop devices with direct I/O over preallocated files: the block devices of this machine. Those named, or, of
    /// none, whichever are free.
    Loops(Vec<PathBuf>),
}

/// How a server is to run.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The program.
    pub ashlar: PathBuf,
    /// CPU of the server.
    pub cpu: usize,
    /// Its port on the loopback address.
    pub port: u16,
    /// Its memory budget, as `1GiB`.
    pub memory: String,
    /// Its keys.
    pub credentials: Credentials,
}

/// A pool, not necessarily served.
#[derive(Debug)]
pub struct Pool {
    setting: Setting,
    folder: PathBuf,
    devices: Vec<PathBuf>,
    /// Devices made so far.
    made: usize,
    /// Of the devices those that must be detached in the end: none, if they are files.
    loops: Vec<LoopDevice>,
}

impl Pool {
    /// Makes a pool of six devices of `device_bytes` each in `folder`, which must not exist.
    ///
    /// # Errors
    ///
    /// When files, loop devices or the pool cannot be made.
    pub fn make(
        kind: &Kind,
        folder: &Path,
        device_bytes: u64,
        setting: Setting,
    ) -> Result<Self, ProcessError> {
        fs::create_dir_all(folder.parent().unwrap_or(folder)).map_err(io_error(folder))?;
        fs::create_dir(folder).map_err(io_error(folder))?;
        let mut pool = Self {
            setting,
            folder: folder.to_path_buf(),
            devices: Vec::new(),
            made: DEVICES,
            loops: Vec::new(),
        };
        let ashlar = pool.setting.ashlar.clone();
        let size = device_bytes.to_string();
        for index in 0..DEVICES {
            let file = folder.join(format!("device-{index}.img"));
            match kind {
                Kind::Files => pool.devices.push(file),
                Kind::Loops(named) => {
                    let named = named.get(index).map(PathBuf::as_path);
                    let device = pool.make_loop(&file, device_bytes, named)?;
                    pool.devices.push(device);
                }
            }
        }
        let devices: Vec<_> = pool.devices.iter().map(|device| device.display().to_string()).collect();
        let mut arguments = vec!["pool", "create", "bench", "--code", "4+2", "--file-size", &size];
        arguments.extend(devices.iter().map(String::as_str));
        run(&ashlar, &arguments)?;
        Ok(pool)
    }

    /// Serves it. Returns the server and how long it took to its first answer.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn serve(&self) -> Result<(Server, Duration), ProcessError> {
        self.serve_with(&self.devices)
    }

    /// Serves it as if the first device were not there.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn serve_without_one(&self) -> Result<(Server, Duration), ProcessError> {
        self.serve_with(self.devices.get(1..).unwrap_or_default())
    }

    /// Serves it, and has it rebuild at once what lies on devices that are not there.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn serve_rebuilding(&self) -> Result<(Server, Duration), ProcessError> {
        self.serve_from(format!("rebuild_after = \"0s\"\n{}", config_text(&self.setting, &self.devices)))
    }

    /// Takes a new device of `bytes` into the pool, and the first one away for good. Returns the new one.
    ///
    /// # Errors
    ///
    /// When the device cannot be made or is not taken in.
    pub fn replace_first(&mut self, bytes: u64) -> Result<PathBuf, ProcessError> {
        let file = self.folder.join(format!("device-{}.img", self.made));
        self.made += 1;
        let is_file = self.loops.is_empty();
        let new = if is_file { file } else { self.make_loop(&file, bytes, None)? };
        let size = bytes.to_string();
        let added = new.display().to_string();
        let mut arguments = vec!["pool", "add", "--new", &added, "--file-size", &size];
        let devices: Vec<_> = self.devices.iter().map(|device| device.display().to_string()).collect();
        arguments.extend(devices.iter().map(String::as_str));
        run(&self.setting.ashlar, &arguments)?;
        self.devices.remove(0);
        if !is_file {
            self.loops.remove(0);
        }
        self.devices.push(new.clone());
        Ok(new)
    }

    /// No group lacks a member, by the last checkpoint.
    ///
    /// # Errors
    ///
    /// When the pool does not say.
    pub fn is_whole(&self) -> Result<bool, ProcessError> {
        let said = self.ask_status()?;
        let mut lines = said.lines().filter_map(|line| line.strip_prefix("redundancy"));
        Ok(lines.all(|line| line.contains(" with 0 of ")))
    }

    fn make_loop(&mut self, file: &Path, bytes: u64, named: Option<&Path>) -> Result<PathBuf, ProcessError> {
        let device = LoopDevice::make(file, bytes, named)?;
        let path = device.path().to_path_buf();
        self.loops.push(device);
        Ok(path)
    }

    fn serve_with(&self, devices: &[PathBuf]) -> Result<(Server, Duration), ProcessError> {
        self.serve_from(config_text(&self.setting, devices))
    }

    fn serve_from(&self, text: String) -> Result<(Server, Duration), ProcessError> {
        let config = self.folder.join("server.toml");
        fs::write(&config, text).map_err(io_error(&config))?;
        let path = config.display().to_string();
        let arguments = ["serve", "--config", path.as_str()];
        let log = self.folder.join("server.log");
        let mut server = Server::start(&self.setting.ashlar, &arguments, self.setting.cpu, &log)?;
        match server.wait_until_ready(&self.url(), &self.setting.credentials) {
            Ok(took) => Ok((server, took)),
            Err(ProcessError::Failed { what, said }) => {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let last = log.trim_end().lines().last().unwrap_or_default();
                Err(ProcessError::Failed { what, said: format!("{said}: {last}") })
            }
            Err(error) => Err(error),
        }
    }

    /// Where its server is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.setting.port)
    }

    /// The devices, if the kernel counts what is written to them.
    #[must_use]
    pub fn block_devices(&self) -> Option<&[PathBuf]> {
        (!self.loops.is_empty()).then_some(self.devices.as_slice())
    }

    /// The devices.
    #[must_use]
    pub fn devices(&self) -> &[PathBuf] {
        &self.devices
    }

    /// What `ashlar pool status` says after `name` in the line of that name.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn status(&self, name: &str) -> Result<String, ProcessError> {
        let said = self.ask_status()?;
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.unwrap_or_default().trim().to_owned())
    }

    fn ask_status(&self) -> Result<String, ProcessError> {
        let devices: Vec<_> = self.devices.iter().map(|device| device.display().to_string()).collect();
        let mut arguments = vec!["pool", "status"];
        arguments.extend(devices.iter().map(String::as_str));
        run(&self.setting.ashlar, &arguments)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.loops.clear();
        let _failed = fs::remove_dir_all(&self.folder);
    }
}

fn config_text(setting: &Setting, devices: &[PathBuf]) -> String {
    let paths: Vec<_> = devices.iter().map(|path| format!("{:?}", path.display().to_string())).collect();
    let Credentials { access_key, secret_key } = &setting.credentials;
    format!(
        "devices = [{}]\nlisten = \"127.0.0.1:{}\"\ncores = 1\nmemory = \"{}\"\n\n[credentials]\n\
         access_key = {access_key:?}\nsecret_key = {secret_key:?}\n",
        paths.join(", "),
        setting.port,
        setting.memory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_what_is_there() {
        let setting = Setting {
            ashlar: PathBuf::from("ashlar"),
            cpu: 0,
            port: 9141,
            memory: "1GiB".to_owned(),
            credentials: Credentials { access_key: "a\"b".to_owned(), secret_key: "s".to_owned() },
        };
        let text = config_text(&setting, &[PathBuf::from("/dev/loop1"), PathBuf::from("/x y")]);
        assert!(
            text.starts_with("devices = [\"/dev/loop1\", \"/x y\"]\nlisten = \"127.0.0.1:9141\"\n"),
            "{text}"
        );
        assert!(text.contains("access_key = \"a\\\"b\""), "{text}");
        assert!(config_text(&setting, &[]).starts_with("devices = []"));
    }
}
