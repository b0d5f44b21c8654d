//! The floor: GETs encoded beforehand on a blocking socket, replies counted by their length.
//!
//! No runtime, no parsing, no values. What it costs is system calls and the kernel's TCP, which every client pays too.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use crate::workload::{
    Data, FIELDS, HASH, ITEMS, LIST, MESSAGES, PIPELINE, PUBLISHED, Publication, Workload, encode,
};

/// A connection and the bytes that are sent on it.
pub(crate) struct Raw {
    socket: TcpStream,
    subscriber: TcpStream,
    publication: Publication,
    messages_length: usize,
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
        let publication = Publication::new(data);
        let channel = &publication.channel;
        let subscriber = subscribe(address, channel)?;
        let message_length = format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n", channel.len())
            .len()
            + reply_length;
        Ok(Self {
            socket,
            subscriber,
            publication,
            messages_length: MESSAGES * message_length,
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
            Workload::Pubsub => (0..commands / MESSAGES).try_for_each(|_| {
                self.socket.write_all(&self.publication.command)?;
                let mut left = self.messages_length;
                while left > 0 {
                    match self.subscriber.read(&mut self.buffer)? {
                        0 => bail!("the server closed the subscriber's connection"),
                        length => left = left.checked_sub(length).context("too much came")?,
                    }
                }
                self.expect(b'$', PUBLISHED.len())
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

/// A connection that listens to a channel.
fn subscribe(address: &str, channel: &str) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    let mut command = Vec::new();
    encode(&mut command, &["SUBSCRIBE", channel]);
    socket.write_all(&command)?;
    let confirmed = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n:1\r\n", channel.len());
    socket.read_exact(&mut vec![0; confirmed.len()])?;
    Ok(socket)
}
