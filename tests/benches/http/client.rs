//! A client that costs little: HTTP/1.1 over a socket that is kept, one thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub struct Client {
    reader: BufReader<TcpStream>,
    head: String,
    body: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_nodelay(true).expect("a socket");
        Self {
            reader: BufReader::new(stream),
            head: String::new(),
            body: Vec::new(),
        }
    }

    /// Sends a request and reads its answer: the status.
    fn exchange(&mut self, request: &[u8]) -> u16 {
        self.reader.get_mut().write_all(request).expect("sent");
        self.head.clear();
        while !self.head.ends_with("\r\n\r\n") {
            assert!(
                self.reader.read_line(&mut self.head).expect("an answer") > 0,
                "the connection was closed"
            );
        }
        let lower = self.head.to_ascii_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length = length
            .and_then(|v| v.trim().parse().ok())
            .expect("answers say how long they are");
        self.body.resize(length, 0);
        self.reader
            .read_exact(&mut self.body)
            .expect("a whole answer");
        self.head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status")
    }

    pub fn search(&mut self, query: &str) -> u16 {
        let query = query.replace(' ', "+");
        self.exchange(
            format!("GET /search?q={query}&limit=10 HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        )
    }

    pub fn photo(&mut self, file: &[u8]) -> u16 {
        let start =
            "--b0\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x\"\r\n\r\n";
        let form = [start.as_bytes(), file, b"\r\n--b0--\r\n"].concat();
        let head = format!(
            "POST /search/image HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b0\r\nContent-Length: {}\r\n\r\n",
            form.len()
        );
        self.exchange(&[head.as_bytes(), &form].concat())
    }
}

/// Searches with so many connections at once for so long: answers a second.
pub fn load(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    query: &(impl Fn() -> String + Sync),
) -> (f64, Vec<Duration>) {
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let start = Instant::now();
    let mut latencies = Vec::new();
    std::thread::scope(|scope| {
        let connection = || {
            let mut client = Client::connect(address);
            let mut latencies = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let sent = Instant::now();
                assert_eq!(client.search(&query()), 200);
                latencies.push(sent.elapsed());
                done.fetch_add(1, Ordering::Relaxed);
            }
            latencies
        };
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(connection)).collect();
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            latencies.extend(thread.join().expect("no panic"));
        }
    });
    // The last answers came after the time was over, and so did the clock's last look.
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let rate = done.into_inner() as f64 / start.elapsed().as_secs_f64();
    (rate, latencies)
}
