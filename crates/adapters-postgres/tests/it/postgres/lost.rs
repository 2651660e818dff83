//! An answer to `COMMIT` that gets lost on the way.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use ports::{ErrorKind, HealthDataRepository as _, Outcome, Write};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    open,
    own::{key, repository},
};

/// What becomes of the next commit.
const PASSES: u8 = 0;
const IS_LOST: u8 = 1;
const ITS_ANSWER_IS_LOST: u8 = 2;

/// Hands on what client and server say, until one of them leaves or it is told to break off.
async fn hand_on(mut client: TcpStream, server: SocketAddr, fate: Arc<AtomicU8>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut asked, mut answered) = ([0; 8192], [0; 8192]);
    let mut answer_is_lost = false;
    loop {
        tokio::select! {
            size = client.read(&mut asked) => {
                let size = size?;
                let asks_to_commit = asked[..size].windows(7).any(|window| window == b"COMMIT\0");
                if asks_to_commit {
                    match fate.swap(PASSES, Ordering::SeqCst) {
                        IS_LOST => return Ok(()),
                        ITS_ANSWER_IS_LOST => answer_is_lost = true,
                        _ => {}
                    }
                }
                if size == 0 {
                    return Ok(());
                }
                server.write_all(&asked[..size]).await?;
            }
            size = server.read(&mut answered) => {
                let size = size?;
                if size == 0 || answer_is_lost {
                    return Ok(());
                }
                client.write_all(&answered[..size]).await?;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_unknown_and_not_tried_again() {
    let url = super::url().await;
    let server: SocketAddr = url.split('@').nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = url.replace(&server.to_string(), &proxy.local_addr().unwrap().to_string());
    let fate = Arc::new(AtomicU8::new(PASSES));
    let seen = Arc::clone(&fate);
    tokio::spawn(async move {
        while let Ok((client, _)) = proxy.accept().await {
            tokio::spawn(hand_on(client, server, Arc::clone(&seen)));
        }
    });

    let repository = repository(open(&through).await);
    for (sort, next, is_there) in [("a", IS_LOST, false), ("b", ITS_ANSWER_IS_LOST, true)] {
        fate.store(next, Ordering::SeqCst);
        let key = key(6, sort);
        let error = repository.commit(vec![Write::insert(key.clone(), "x")]).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown), "{error:?}");
        assert_eq!(repository.get(&key).await.unwrap().is_some(), is_there);
    }
    repository.commit(vec![Write::insert(key(6, "c"), "x")]).await.unwrap();
}
