//! Starting, serving and stopping.

mod models;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Protocol, Request};
use actix_server::{Server, ServerHandle};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App as ActixApp,
    body::BoxBody,
    dev::{AppConfig, ServiceResponse},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use adapters_mail::SmtpMailer;
use anyhow::Context as _;
use app::App;
use metrics_exporter_prometheus::PrometheusHandle;
use ports::{Clock, IdSource};
use secrecy::{ExposeSecret, SecretSlice};
use tokio::{
    net::TcpSocket,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::models::ModelServer;
use crate::{
    config::{self, Config},
    connection::{Guarded, Patience},
    context::{Context, Lifecycle},
    limits::Limiter,
    middleware::surround,
    platform::{self, Connected},
    routes,
    seats::Live,
};

/// A running process: the server, the worker, or both.
pub struct Running {
    pub address: Option<SocketAddr>,
    pub context: web::Data<Context>,
    server: Option<Served>,
    worker: Option<Worker>,
    smtp: Option<Arc<SmtpMailer>>,
    /// Where models are served as well.
    pub models: Option<ModelServer>,
}

struct Worker {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Roles {
    pub serve: bool,
    pub work: bool,
}

/// Opens the adapters and starts what `roles` asks for. When this returns, requests are answered.
pub async fn start(
    config: Config,
    roles: Roles,
    metrics: PrometheusHandle,
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
) -> anyhow::Result<Running> {
    raise_file_limit();
    // The port is bound before anything is opened: a port that is taken is found at once, and nothing was touched.
    let listener = if roles.serve {
        let listen = config.server.listen;
        Some(
            bind(listen)
                .with_context(|| format!("{listen} cannot be listened on; choose another with --listen"))?,
        )
    } else {
        None
    };
    // It is large, and would be part of whatever waits for this.
    let connected = Box::pin(platform::connect(&config, clock, ids)).await?;
    let models = config.inference.server.enabled && roles.serve;
    let models = models.then(|| ModelServer::start(&config, &connected.engine, &metrics)).transpose()?;
    let context = web::Data::new(context(config, &connected, metrics).await?);
    let worker = roles.work.then(|| start_worker(&context, &connected));
    let mut running = Running { address: None, context, server: None, worker, smtp: connected.smtp, models };
    if let Some(listener) = listener {
        running.address = Some(listener.local_addr()?);
        running.server = Some(serve(&running.context, listener)?);
    }
    Ok(running)
}

/// How long mail that waits may hold up the stop.
const MAIL_STOP: Duration = Duration::from_secs(3);

/// Lets this process hold as many connections as it may at all: the usual first limit is 1,024 files, which a thousand slow
/// clients use up.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused, the limit is as it was.
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).ok();
}

async fn context(
    config: Config,
    connected: &Connected,
    metrics: PrometheusHandle,
) -> anyhow::Result<Context> {
    let cursor_key = platform::secret_or_new(&*connected.secrets, "api/cursor-key").await?;
    let user_hash_key = match &config.telemetry.user_hash_key {
        Some(key) => SecretSlice::from(key.expose_secret().as_bytes().to_vec()),
        None => platform::secret_or_new(&*connected.secrets, "api/user-hash-key").await?,
    };
    Ok(Context {
        app: Arc::new(App::new(connected.platform.clone(), crate::settings(&config))),
        limiter: Limiter::new(&config.limits, connected.shared.clone()),
        shared: connected.shared.clone(),
        pool: connected.pool.clone(),
        live: Live::new(&config.live),
        config: Arc::new(config),
        metrics,
        presigned: connected.presigned.clone(),
        cursor_key,
        user_hash_key,
        lifecycle: Lifecycle::default(),
    })
}

/// For how long the rest of a request that was answered early is read and thrown away.
const FAREWELL: Duration = Duration::from_secs(5);

/// Connections that wait to be accepted; more than the usual, or a thousand clients at once have to come again.
const BACKLOG: u32 = 4096;

fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The port may still be known to connections of a process that is gone.
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)?.into_std()
}

/// The server's handle, and its end.
type Served = (ServerHandle, JoinHandle<std::io::Result<()>>);

fn serve(context: &web::Data<Context>, listener: TcpListener) -> anyhow::Result<Served> {
    let (shared, ids) = (context.clone(), Arc::clone(&context.app.platform.ids));
    let app =
        move || ActixApp::new().app_data(shared.clone()).wrap(from_fn(surround)).configure(routes::configure);
    listen(&context.config.server, ids, listener, app)
}

/// Serves `app` on each worker, as actix-web's own server does it, with a clock around each connection.
fn listen<F, I, S>(
    server: &config::Server,
    ids: Arc<dyn IdSource>,
    listener: TcpListener,
    app: F,
) -> anyhow::Result<Served>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<BoxBody>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
{
    let milliseconds = Duration::from_millis;
    let patience = Patience {
        head: milliseconds(server.head_timeout_ms),
        idle: milliseconds(server.keep_alive_ms),
        reader: milliseconds(server.request_timeout_ms),
    };
    let address = listener.local_addr()?;
    // What the lame duck leaves of the time, so that both together keep it.
    let shutdown = server.shutdown_timeout_ms.saturating_sub(server.lame_duck_ms).div_ceil(1000);
    let builder = Server::build().workers(server.workers).disable_signals().shutdown_timeout(shutdown);
    let stopping = builder.graceful_shutdown_signal();
    let service = move || {
        let (ids, stopping) = (Arc::clone(&ids), stopping.clone());
        let app = app().into_factory().map_err(|error: actix_web::Error| error.error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(patience.idle)
            .client_request_timeout(patience.head)
            // An early answer, such as 413, would be lost to a client that still sends.
            .client_disconnect_timeout(FAREWELL)
            .local_addr(address)
            .on_connect_ext(|connection: &Guarded, data| drop(data.insert(connection.watch())))
            .finish(map_config(app, |()| AppConfig::default()));
        fn_service(move |stream: TcpStream| {
            let ids = Arc::clone(&ids);
            async move {
                // Without it, small answers wait for the acknowledgement of the ones before.
                stream.set_nodelay(true).ok();
                let peer = stream.peer_addr().ok();
                Ok((Guarded::new(stream, patience, ids), Protocol::Http1, peer))
            }
        })
        .and_then(http)
    };
    let http = builder.listen("http", listener, service)?.run();
    let handle = http.handle();
    Ok((handle, tokio::spawn(http)))
}

fn start_worker(context: &web::Data<Context>, connected: &Connected) -> Worker {
    let (stop, relay_stop) = (CancellationToken::new(), CancellationToken::new());
    let drain = Duration::from_millis(context.config.server.shutdown_timeout_ms);
    let (app, engine, stopping) = (Arc::clone(&context.app), Arc::clone(&connected.engine), stop.clone());
    let stop_relay = relay_stop.clone();
    let work = tokio::spawn(async move {
        // A job that ran before the models were read would say that there are none.
        engine.loaded().await;
        app.run_worker(stopping, drain).await;
        stop_relay.cancel();
    });
    let app = Arc::clone(&context.app);
    let relay = tokio::spawn(async move { app.run_relay(relay_stop).await });
    let keeper = tokio::spawn(keep_house(context.clone(), connected.housekeeping(), stop.clone()));
    Worker { stop, tasks: vec![work, relay, keeper] }
}

/// Removes what has expired and settles what was given up, now and then.
async fn keep_house(
    context: web::Data<Context>,
    housekeeping: platform::Housekeeping,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(Duration::from_millis(context.config.worker.sweep_interval_ms));
    // What was begun before this process is looked for at once: its beginner may have died with the one before.
    let mut begun_before = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = context.app.resume_erasures(begun_before).await {
            tracing::warn!(error = %error, "an erasure could not be finished; trying again later");
        }
        begun_before = Duration::from_millis(context.config.worker.lease_ms);
        if let Err(error) = housekeeping.sweep().await {
            tracing::warn!(error = %error, "expired records could not be removed; trying again later");
        }
        if let Err(error) = context.app.settle_dead_letters().await {
            tracing::warn!(error = %error, "dead letters could not be settled; trying again later");
        }
        if let Err(error) = context.app.resume_imports().await {
            tracing::warn!(error = %error, "the days of imports that stopped are not computed yet; trying again later");
        }
    }
}

/// The signals that stop a process. They are listened to before it says that it runs: whoever reads that may stop it at
/// once.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

impl Running {
    /// Waits for SIGTERM or SIGINT, or for a part to end by itself.
    pub async fn until_signal(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let ended = async {
            match &mut self.server {
                Some((_, task)) => task.await,
                None => std::future::pending().await,
            }
        };
        let worker_ended = async {
            match &mut self.worker {
                Some(worker) => drop(futures::future::select_all(&mut worker.tasks).await),
                None => std::future::pending().await,
            }
        };
        let models_ended = async {
            match &mut self.models {
                Some(models) => models.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = signals.terminate.recv() => {}
            _ = signals.interrupt.recv() => {}
            outcome = models_ended => {
                self.models = None;
                outcome?;
                anyhow::bail!("the model server ended by itself");
            }
            () = worker_ended => {
                // Without it, uploads would be acknowledged and never processed: better a restart.
                self.worker = None;
                anyhow::bail!("a part of the worker ended by itself");
            }
            outcome = ended => {
                self.server = None;
                outcome??;
                anyhow::bail!("the server ended by itself");
            }
        }
        Ok(())
    }

    /// Stops without losing a request or a job: readiness turns 503 and answers close their connections, load balancers get
    /// the lame-duck time to notice, then what is in flight finishes.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        tracing::info!("stopping");
        self.context.lifecycle.drain();
        if let Some(worker) = &self.worker {
            worker.stop.cancel();
        }
        // Beside the other, so that both have the whole time.
        let models = self.models.take().map(|models| tokio::spawn(models.stop()));
        if let Some((handle, task)) = self.server.take() {
            // Those that listen are sent away in the middle of it: the balancer has had time to notice, and has some left to
            // take them elsewhere.
            let half = Duration::from_millis(self.context.config.server.lame_duck_ms) / 2;
            tokio::time::sleep(half).await;
            self.context.lifecycle.streams.cancel();
            tokio::time::sleep(half).await;
            handle.stop(true).await;
            task.await??;
        }
        if let Some(worker) = self.worker.take() {
            for task in worker.tasks {
                task.await?;
            }
        }
        if let Some(models) = models {
            models.await??;
        }
        if let Some(smtp) = self.smtp.take() {
            smtp.stop(MAIL_STOP).await;
        }
        tracing::info!("stopped");
        Ok(())
    }
}
