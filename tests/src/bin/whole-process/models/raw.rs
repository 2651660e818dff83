//! The floor: ONNX Runtime in a bare loop, without a server around it, by the same library and the same model.

use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use ort::{environment::Environment, session::Session, value::Tensor};

use crate::usage;

/// The library, and what was read of a model.
pub(crate) struct Raw {
    environment: Environment,
}

/// What a loop took.
pub(crate) struct Looped {
    pub(crate) runs: usize,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Looped {
    pub(crate) fn per_second(&self) -> f64 {
        self.runs as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.runs as f64
    }
}

impl Raw {
    /// Loads the library that lies beside this program, and so beside the server.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let library = std::env::current_exe()?.with_file_name(format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}"));
        let environment = ort::init_from(&library)
            .with_context(|| format!("{}: `make onnxruntime` lays it there", library.display()))?
            .with_name("raw")
            .with_telemetry(false)
            .build()?;
        Ok(Self { environment })
    }

    fn session(&self, model: &[u8]) -> ort::Result<Session> {
        Session::builder(&self.environment)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .commit_from_memory(model)
    }

    /// Runs one row `runs` times on each of `threads` threads, each with a session of one thread.
    pub(crate) fn run(
        &self,
        model: &Path,
        (name, width): (&str, usize),
        threads: usize,
        runs: usize,
    ) -> anyhow::Result<Looped> {
        let bytes = std::fs::read(model)?;
        let mut sessions = Vec::new();
        for _ in 0..threads {
            let mut session = self.session(&bytes)?;
            repeat(&mut session, name, width, runs / 10 + 1)?;
            sessions.push(session);
        }
        let (cpu, start) = (usage::own_cpu()?, Instant::now());
        std::thread::scope(|scope| {
            let spawn = |session| scope.spawn(move || repeat(session, name, width, runs));
            let threads: Vec<_> = sessions.iter_mut().map(spawn).collect();
            let ended = threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_panic| anyhow::anyhow!("a loop panicked"))?);
            ended.collect::<anyhow::Result<()>>()
        })?;
        let cpu = usage::own_cpu()?.saturating_sub(cpu);
        Ok(Looped { runs: runs * threads, wall: start.elapsed(), cpu })
    }
}

/// Each run takes an input of its own and reads its outputs, as any program would.
fn repeat(session: &mut Session, name: &str, width: usize, runs: usize) -> anyhow::Result<()> {
    for run in 0..runs {
        let mut row: Vec<f32> = (0..width).map(|at| (at % 7) as f32 / 8.0).collect();
        row[0] = run as f32;
        let input = Tensor::from_array((vec![1, width], row))?;
        for (_, output) in &session.run(vec![(name, input)])? {
            black_box(output.try_extract_tensor::<f32>()?.1.to_vec());
        }
    }
    Ok(())
}
