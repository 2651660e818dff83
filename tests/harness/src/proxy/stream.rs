//! Bytes of any protocol. What the client sends at once is a request; what comes before it sends again is the answer.

use std::{future::pending, io, net::Ipv4Addr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use super::{Fault, Road, State};

pub(super) async fn serve(mut client: TcpStream, state: &State) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, state.port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut answer_is_lost = false;
    loop {
        tokio::select! {
            size = client.read(&mut asked) => {
                let size = size?;
                if size == 0 {
                    return Ok(());
                }
                wait_in_silence(state).await;
                match state.next_fault(&asked[..size]) {
                    Some(Fault::Reset) => return Ok(()),
                    Some(Fault::Delay(duration)) => sleep(duration).await,
                    Some(Fault::DropAnswer) => answer_is_lost = true,
                    _ => {}
                }
                server.write_all(&asked[..size]).await?;
            }
            size = server.read(&mut answered) => {
                let size = size?;
                if size == 0 || answer_is_lost {
                    return Ok(());
                }
                wait_in_silence(state).await;
                client.write_all(&answered[..size]).await?;
            }
        }
    }
}

/// For good: what was under way when the road fell silent never arrives.
async fn wait_in_silence(state: &State) {
    if *state.road.borrow() == Road::Silent {
        pending::<()>().await;
    }
}
