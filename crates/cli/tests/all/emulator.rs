//! A program on a terminal, and what somebody in front of it would see: a pseudo-terminal, and an emulator behind it.

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Lines that have left the screen at its upper end, and can still be looked at.
const HISTORY: usize = 10_000;

/// A terminal on which a program runs; it is killed when this is dropped.
pub struct Terminal {
    child: Child,
    device: PathBuf,
    emulator: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts the program on a terminal of this width and height.
    pub fn start(mut command: Command, (width, height): (u16, u16)) -> Self {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let device = std::fs::read_link(format!("/proc/self/fd/{}", pty.slave.as_raw_fd())).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = command.env("TERM", "xterm-256color").stdin(Stdio::null()).stdout(end()).stderr(end()).spawn();
        // Its ends of the terminal are in there, and there would be no end to read.
        drop(command);
        let emulator = Arc::new(Mutex::new(vt100::Parser::new(height, width, HISTORY)));
        let (shown, mut master) = (Arc::clone(&emulator), File::from(pty.master));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is how the end of the last program is reported.
            while let Ok(read @ 1..) = master.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..read]);
            }
        });
        Self { child: child.unwrap(), device, emulator, reader: Some(reader) }
    }

    /// Makes the terminal another size, as a user does with its window.
    pub fn resize(&self, (width, height): (u16, u16)) {
        self.emulator.lock().unwrap().screen_mut().set_size(height, width);
        let size = ["rows", &height.to_string(), "cols", &width.to_string()].map(str::to_owned);
        assert!(Command::new("stty").arg("-F").arg(&self.device).args(size).status().unwrap().success());
    }

    /// The lines of the screen, without those at its end that are empty.
    pub fn lines(&self) -> Vec<String> {
        let emulator = self.emulator.lock().unwrap();
        let screen = emulator.screen();
        let mut lines: Vec<String> = screen.rows(0, screen.size().1).map(|line| line.trim_end().to_owned()).collect();
        lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
        lines
    }

    /// All lines since the start; one that was broken at the end of the screen is whole again.
    pub fn history(&self) -> Vec<String> {
        let mut emulator = self.emulator.lock().unwrap();
        let screen = emulator.screen_mut();
        let (height, width) = screen.size();
        screen.set_scrollback(usize::MAX);
        let above = screen.scrollback();
        let mut lines = vec![String::new()];
        for offset in (0..=above).rev() {
            screen.set_scrollback(offset);
            // The first line of the screen, and in the end all that follow.
            for row in 0..if offset == 0 { height } else { 1 } {
                let text = screen.rows(0, width).nth(usize::from(row)).unwrap();
                lines.last_mut().unwrap().push_str(&text);
                if !screen.row_wrapped(row) {
                    lines.push(String::new());
                }
            }
        }
        lines.into_iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    }

    /// Whether any line of the screen goes on in the next one.
    pub fn is_wrapped(&self) -> bool {
        let emulator = self.emulator.lock().unwrap();
        (0..emulator.screen().size().0).any(|row| emulator.screen().row_wrapped(row))
    }

    /// Whether the alternate screen is shown.
    pub fn is_alternate(&self) -> bool {
        self.emulator.lock().unwrap().screen().alternate_screen()
    }

    pub fn hides_cursor(&self) -> bool {
        self.emulator.lock().unwrap().screen().hide_cursor()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end of the program, and gives its exit code. The screen is complete then.
    pub fn wait(&mut self) -> i32 {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Fails when it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
