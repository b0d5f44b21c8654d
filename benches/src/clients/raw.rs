//! The floor: GETs encoded beforehand on a blocking socket, replies counted by their length.
//!
//! No runtime, no parsing, no values. What it costs is system calls and the kernel's TCP, which every client pays too.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use crate::workload::{Data, FIELDS, HASH, ITEMS, LIST, PIPELINE, Workload, encode};

/// A connection and the bytes that are sent on it.
pub(crate) struct Raw {
    socket: TcpStream,
    gets: Vec<u8>,
    get_length: usize,
    reply_length: usize,
    lrange: Vec<u8>,
    list_length: usize,
    hgetall: Vec<u8>,
    hash_length: usize,
    buffer: Vec<u8>,
}

impl Raw {
    pub(crate) fn connect(url: &str, data: &Data) -> Result<Self> {
        let address = url.strip_prefix("redis://").context("the URL must begin with redis://")?;
        let socket =
            TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
        socket.set_nodelay(true)?;
        let mut gets = Vec::new();
        for key in data.pipeline_keys() {
            encode(&mut gets, &["GET", key]);
        }
        let mut lrange = Vec::new();
        encode(&mut lrange, &["LRANGE", LIST, "0", "-1"]);
        let reply_length = format!("${}\r\n\r\n", data.value_size).len() + data.value_size;
        let list_length = format!("*{ITEMS}\r\n").len() + ITEMS * reply_length;
        let mut hgetall = Vec::new();
        encode(&mut hgetall, &["HGETALL", HASH]);
        let field_length = "$10\r\nfield:0000\r\n".len();
        let hash_length =
            format!("*{}\r\n", 2 * FIELDS).len() + FIELDS * (field_length + reply_length);
        let get_length = gets.len() / PIPELINE;
        let buffer = vec![0; 256 * 1024];
        Ok(Self {
            socket,
            gets,
            get_length,
            reply_length,
            lrange,
            list_length,
            hgetall,
            hash_length,
            buffer,
        })
    }

    /// Issues `commands` commands of the workload.
    pub(crate) fn run(&mut self, workload: Workload, commands: usize) -> Result<()> {
        match workload {
            Workload::Get64 | Workload::Get512 | Workload::Sequence | Workload::Allocations => {
                self.closed_loop(workload.callers(), commands)
            }
            Workload::Pipeline => (0..commands / PIPELINE).try_for_each(|_| {
                self.socket.write_all(&self.gets)?;
                self.expect(b'$', PIPELINE * self.reply_length)
            }),
            Workload::Lrange | Workload::LrangeLazy => (0..commands).try_for_each(|_| {
                self.socket.write_all(&self.lrange)?;
                self.expect(b'*', self.list_length)
            }),
            Workload::Hgetall => (0..commands).try_for_each(|_| {
                self.socket.write_all(&self.hgetall)?;
                self.expect(b'*', self.hash_length)
            }),
        }
    }

    /// Each caller sends its next GET when its reply is there: so many replies in, so many GETs out, in one write.
    fn closed_loop(&mut self, callers: usize, commands: usize) -> Result<()> {
        let (mut sent, mut answered, mut partial) = (callers.min(commands), 0, 0);
        self.socket.write_all(&self.gets[..sent * self.get_length])?;
        while answered < commands {
            let length = self.receive()?;
            if partial == 0 && self.buffer[0] != b'$' {
                bail!("unexpected reply {:?}", String::from_utf8_lossy(&self.buffer[..length]));
            }
            let whole = (partial + length) / self.reply_length;
            partial = (partial + length) % self.reply_length;
            answered += whole;
            let next = whole.min(commands - sent);
            sent += next;
            self.socket.write_all(&self.gets[..next * self.get_length])?;
        }
        Ok(())
    }

    fn expect(&mut self, first: u8, mut length: usize) -> Result<()> {
        let mut received = self.receive()?;
        if self.buffer[0] != first {
            bail!("unexpected reply {:?}", String::from_utf8_lossy(&self.buffer[..received]));
        }
        while received < length {
            length -= received;
            received = self.receive()?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<usize> {
        match self.socket.read(&mut self.buffer)? {
            0 => bail!("the server closed the connection"),
            length => Ok(length),
        }
    }
}
