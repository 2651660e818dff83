//! The server of models: for other services, at an address and with a key of its own, without records or accounts.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App as ActixApp,
    middleware::{Compress, from_fn},
    web,
};
use anyhow::Context as _;
use inference::Engine;
use metrics_exporter_prometheus::PrometheusHandle;
use ports::{ModelRepository, Predictor};

use super::{Served, Signals, bind, listen};
use crate::{
    config::Config,
    context::Lifecycle,
    middleware::attend,
    platform,
    routes::open_inference::{self, Bodies, ModelContext, Models},
};

/// A running server of models.
pub struct ModelServer {
    pub address: SocketAddr,
    context: Models,
    served: Option<Served>,
}

impl ModelServer {
    /// Binds the port and serves `engine`'s models on it.
    pub fn start(config: &Config, engine: &Arc<Engine>, metrics: &PrometheusHandle) -> anyhow::Result<Self> {
        super::raise_file_limit();
        let at = config.inference.server.listen;
        let listener = bind(at).with_context(|| {
            format!("{at} cannot be listened on; choose another address for inference.server.listen")
        })?;
        let address = listener.local_addr()?;
        let (_clock, ids) = platform::time_and_ids();
        let context = web::Data::new(ModelContext {
            config: Arc::new(config.clone()),
            predictor: Arc::clone(engine) as Arc<dyn Predictor>,
            repository: Arc::clone(engine) as Arc<dyn ModelRepository>,
            ids: Arc::clone(&ids),
            metrics: metrics.clone(),
            lifecycle: Lifecycle::default(),
            bodies: Bodies::new(config.inference.server.body_bytes_max),
        });
        let shared = context.clone();
        let app = move || {
            let app = ActixApp::new().app_data(shared.clone());
            app.wrap(Compress::default()).wrap(from_fn(attend)).configure(open_inference::configure)
        };
        let served = listen(&config.server, ids, listener, app)?;
        Ok(Self { address, context, served: Some(served) })
    }

    /// Waits for the server to end by itself.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        match &mut self.served {
            Some((_, task)) => {
                let outcome = task.await;
                self.served = None;
                Ok(outcome??)
            }
            None => std::future::pending().await,
        }
    }

    /// Waits for SIGTERM or SIGINT, or for the server to end by itself.
    pub async fn until_signal(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        tokio::select! {
            _ = signals.terminate.recv() => Ok(()),
            _ = signals.interrupt.recv() => Ok(()),
            outcome = self.ended() => {
                outcome?;
                anyhow::bail!("the model server ended by itself")
            }
        }
    }

    /// Stops without losing a request, as the other server does.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.context.lifecycle.drain();
        if let Some((handle, task)) = self.served.take() {
            tokio::time::sleep(Duration::from_millis(self.context.config.server.lame_duck_ms)).await;
            handle.stop(true).await;
            task.await??;
        }
        Ok(())
    }
}
