//! A proxy before a broker that loses one request or its answer, and so makes the outcome of a commit unknown.
//!
//! Knows of Kafka's protocol only where a request begins and ends, its kind and its number. Everything else passes through as it is.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The kind of the request that ends a transaction.
const END_TXN: i16 = 26;

/// Nothing that these tests send or read is longer.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// A trap that is set springs within this time.
const SPRING_MAX: Duration = Duration::from_secs(60);

/// What becomes of the next request that ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// It never reaches the broker.
    Before,
    /// The broker does it, and its answer is lost.
    After,
    /// It reaches the broker only when [`Proxy::release`] lets it, on a connection that the client has long lost.
    Late,
}

/// A proxy before one broker, for as long as the test's process lives.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    sprung: Condvar,
}

#[derive(Default)]
struct State {
    broker: Option<SocketAddr>,
    trap: Option<Trap>,
    /// Whether nothing passes: set by a trap that springs, until somebody opens it again.
    shut: bool,
    sprung: u32,
    /// A request that is held back, with the connection that it is to go by.
    held: Option<(TcpStream, Vec<u8>)>,
    /// Whether the broker has answered it.
    answered: bool,
    /// The clients' side of everything that is connected.
    clients: Vec<TcpStream>,
}

impl Proxy {
    /// Listens. Nothing passes before [`Proxy::to`].
    ///
    /// # Panics
    /// Where no port is to be had.
    #[must_use]
    pub fn listen() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.accept(client);
            }
        });
        Self { port, shared }
    }

    /// Where clients connect, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The broker behind it.
    pub fn to(&self, port: u16) {
        self.shared.state().broker = Some((Ipv4Addr::LOCALHOST, port).into());
    }

    /// Sets a trap for the next request that ends a transaction. When it springs, all connections are cut and nothing passes until
    /// [`Proxy::open`].
    pub fn set(&self, trap: Trap) {
        self.shared.state().trap = Some(trap);
    }

    /// Waits until the trap has sprung for the `times`th time since the proxy began.
    ///
    /// # Panics
    /// Where it does not.
    pub fn sprung(&self, times: u32) {
        let state = self.shared.state();
        let waited = self.shared.sprung.wait_timeout_while(state, SPRING_MAX, |state| state.sprung < times);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(state.sprung >= times, "the trap has sprung {} times and not {times}", state.sprung);
    }

    /// Lets everything pass again.
    pub fn open(&self) {
        self.shared.state().shut = false;
    }

    /// Lets the request go on that [`Trap::Late`] has kept, and waits for the broker's answer, which nobody gets.
    ///
    /// # Panics
    /// Where none was kept, or the broker does not answer it.
    pub fn release(&self) {
        let (mut broker, request) = self.shared.state().held.take().expect("a request was kept");
        write(&mut broker, &request).expect("its connection is open");
        let state = self.shared.state();
        let waited = self.shared.sprung.wait_timeout_while(state, SPRING_MAX, |state| !state.answered);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(state.answered, "the broker has not answered the late request");
    }
}

/// The number of a request whose answer is lost, and why.
type Lost = Mutex<Option<(i32, Trap)>>;

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, client: TcpStream) {
        let broker = {
            let state = self.state();
            state.broker.filter(|_| !state.shut)
        };
        // A client that is refused tries again, as with a broker that is not there.
        let Some(Ok(broker)) = broker.map(TcpStream::connect) else { return };
        let (Ok(from), Ok(to), Ok(kept)) = (client.try_clone(), broker.try_clone(), client.try_clone()) else { return };
        self.state().clients.push(kept);
        let lost: Arc<Lost> = Arc::default();
        let (requests, answers) = (Arc::clone(self), Arc::clone(self));
        let lose = Arc::clone(&lost);
        thread::spawn(move || {
            let ended = requests.requests(from, &to, &lose);
            if ended.is_err() {
                drop(to.shutdown(Shutdown::Both));
            }
        });
        thread::spawn(move || {
            // Whichever way it ends, the client must not wait for more.
            drop(answers.answers(broker, &client, &lost));
            drop(client.shutdown(Shutdown::Both));
        });
    }

    /// Passes requests on. An error ends the connection to the broker too.
    fn requests(&self, mut client: TcpStream, mut broker: &TcpStream, lose: &Lost) -> Result<()> {
        loop {
            let request = read(&mut client)?;
            let (kind, number) = head(&request)?;
            let trap = if kind == END_TXN { self.state().trap.take() } else { None };
            if let Some(trap) = trap {
                *lose.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, trap));
            }
            match trap {
                None | Some(Trap::After) => write(&mut broker, &request)?,
                Some(Trap::Before) => {
                    self.spring();
                    return Err(ErrorKind::ConnectionReset.into());
                }
                Some(Trap::Late) => {
                    self.state().held = Some((broker.try_clone()?, request));
                    self.spring();
                    return Ok(());
                }
            }
        }
    }

    /// Passes answers on, but for the one that is to be lost.
    fn answers(&self, mut broker: TcpStream, mut client: &TcpStream, lost: &Lost) -> Result<()> {
        loop {
            let answer = read(&mut broker)?;
            let number = answer.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
            let lost = *lost.lock().unwrap_or_else(PoisonError::into_inner);
            match lost.filter(|(lost, _)| Some(*lost) == number) {
                // A client that has gone is seen where its requests are read.
                None => drop(write(&mut client, &answer)),
                Some((_, Trap::Late)) => {
                    self.state().answered = true;
                    self.sprung.notify_all();
                    return Ok(());
                }
                Some(_) => {
                    self.spring();
                    return broker.shutdown(Shutdown::Both);
                }
            }
        }
    }

    /// Cuts everything.
    fn spring(&self) {
        let mut state = self.state();
        state.shut = true;
        state.sprung += 1;
        for client in state.clients.drain(..) {
            // One that has gone meanwhile is cut already.
            drop(client.shutdown(Shutdown::Both));
        }
        self.sprung.notify_all();
    }
}

/// The kind and the number of a request.
fn head(request: &[u8]) -> Result<(i16, i32)> {
    let kind = request.first_chunk().map(|bytes| i16::from_be_bytes(*bytes));
    let number = request.get(4..).and_then(<[u8]>::first_chunk).map(|bytes| i32::from_be_bytes(*bytes));
    kind.zip(number).ok_or_else(|| Error::new(ErrorKind::InvalidData, "a request has eight bytes at least"))
}

fn read(from: &mut impl Read) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let mut frame = vec![0; length.ok_or_else(|| Error::new(ErrorKind::InvalidData, "not Kafka's protocol"))?];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn write(to: &mut impl Write, frame: &[u8]) -> Result<()> {
    let length = i32::try_from(frame.len()).expect("invariant: FRAME_BYTES_MAX fits");
    to.write_all(&[&length.to_be_bytes()[..], frame].concat())
}
