//! From a plan and a permit to an engine that is ready, and through the sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::MacAddress;
use sweep::reach::Way;
use sweep::reply::Verifier;
use targets::Permit;

use crate::engine::{Carrier, Ground};
use crate::ports::{self, ReservedPorts};
use crate::survey::{Survey, survey};
use crate::{
    Choice, EngineKind, FrameTally, FramesError, Plan, SharedPace, Sink, drive, live, packet, xdp,
};

/// Above this rate live frames are taken unasked. Below it a packet socket keeps up, and attaching a
/// program to the interface, which makes some network cards restart, is not worth it.
pub const LIVE_RATE_PPS_MIN: u64 = 500_000;
/// Pairs of an order at most: two bits each are kept, 256 MiB in all.
const PAIRS_MAX: u64 = 1 << 30;

/// A sweep that is ready to begin.
pub struct Sweeper {
    plan: Plan,
    survey: Survey,
    ports: Option<ReservedPorts>,
    carrier: Option<Carrier>,
    remarks: Vec<String>,
}

impl Sweeper {
    /// Surveys the routes and neighbours of all targets (which asks the links for their hosts) and
    /// opens an engine, whose receivers hear from now on. No probe leaves.
    ///
    /// # Errors
    ///
    /// If frames cannot be sent from here, or not by the engine that was asked for.
    pub fn open(
        plan: Plan,
        permit: &Permit,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Sweeper, FramesError> {
        let name = match plan.choice {
            Choice::Auto => "packet",
            Choice::Only(kind) => name_of(kind),
        };
        if plan.order.len() > PAIRS_MAX {
            return Err(FramesError::Unsuited {
                engine: name,
                reason: format!(
                    "{} address and port pairs are more than {PAIRS_MAX}; scan them in parts with \
                     --shard, or use --engine socket",
                    plan.order.len()
                ),
            });
        }
        let survey = survey(permit, plan.interface.as_deref(), plan.rate_pps, is_stopped)?;
        let mut remarks = survey.remarks.clone();
        let by_frames = survey
            .reach
            .stretches()
            .iter()
            .any(|stretch| stretch.way != Way::Sockets);
        if !by_frames {
            return Ok(Sweeper {
                plan,
                survey,
                ports: None,
                carrier: None,
                remarks,
            });
        }
        let sources: BTreeSet<IpAddr> = survey.reach.hops().iter().map(|hop| hop.source).collect();
        let reserved = ports::reserve(&sources.into_iter().collect::<Vec<_>>())?;
        let ground = Ground {
            order: plan.order.clone(),
            stream: plan.tcp,
            datagram: plan.udp,
            reach: survey.reach.clone(),
            key: plan.key,
            ports: reserved.ports,
        };
        let carrier = open_engine(&plan, &ground, permit, &survey, &mut remarks)?;
        Ok(Sweeper {
            plan,
            survey,
            ports: Some(reserved),
            carrier: Some(carrier),
            remarks,
        })
    }

    /// Which engine is ready; `None` if frames reach none of the targets: then all of them are for
    /// ordinary sockets, and there is nothing to run.
    pub fn kind(&self) -> Option<EngineKind> {
        self.carrier.as_ref().map(|carrier| carrier.kind)
    }

    /// The interfaces that probes leave by.
    pub fn interfaces(&self) -> Vec<String> {
        let interfaces = self.survey.interfaces.iter();
        interfaces.map(|interface| interface.name.clone()).collect()
    }

    /// What the user should know: why an engine was passed over, a gateway that does not answer.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The network cards of gateways and hosts on the link, as they answered.
    pub fn hardware(&self) -> &BTreeMap<IpAddr, MacAddress> {
        &self.survey.neighbours
    }

    /// Sweeps until every pair is told of or handed on, or until the sink stops it. All packets are
    /// taken out of `pace`, which others may share.
    pub fn run(mut self, permit: &Permit, pace: SharedPace, sink: &mut dyn Sink) -> FrameTally {
        let (Some(carrier), Some(reserved)) = (self.carrier.take(), self.ports.as_ref()) else {
            return FrameTally::default();
        };
        let verifier = Verifier {
            permit,
            key: &self.plan.key,
            ports: &reserved.ports,
        };
        drive::drive(
            &self.plan,
            pace,
            permit,
            &self.survey.reach,
            verifier,
            carrier,
            sink,
        )
    }
}

fn name_of(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Live => "live",
        EngineKind::Xdp => "xdp",
        EngineKind::Packet => "packet",
    }
}

/// Opens the engine that was asked for, or the best one that works.
fn open_engine(
    plan: &Plan,
    ground: &Ground,
    permit: &Permit,
    survey: &Survey,
    remarks: &mut Vec<String>,
) -> Result<Carrier, FramesError> {
    let kinds: &[EngineKind] = match plan.choice {
        Choice::Only(EngineKind::Live) => &[EngineKind::Live],
        Choice::Only(EngineKind::Xdp) => &[EngineKind::Xdp],
        Choice::Only(EngineKind::Packet) => &[EngineKind::Packet],
        Choice::Auto if plan.rate_pps > LIVE_RATE_PPS_MIN => {
            &[EngineKind::Live, EngineKind::Xdp, EngineKind::Packet]
        }
        // Attaching a program makes some network cards restart; a socket never does.
        Choice::Auto => &[EngineKind::Packet],
    };
    let mut refusal = None;
    for kind in kinds {
        let opened = match kind {
            EngineKind::Live => open_live(plan, ground, permit, survey),
            EngineKind::Xdp => xdp::open(ground, permit, survey, plan.threads),
            EngineKind::Packet => packet::open(ground, permit, survey, plan.threads),
        };
        match opened {
            Ok(carrier) => return Ok(carrier),
            Err(error) => {
                remarks.push(error.to_string());
                refusal = Some(error);
            }
        }
    }
    Err(refusal.unwrap_or(FramesError::Unsuited {
        engine: "packet",
        reason: "no engine was tried".to_owned(),
    }))
}

/// Live frames go around the firewall and the queueing of this machine, so they are not taken
/// unasked where a rule of it is about memcached.
fn open_live(
    plan: &Plan,
    ground: &Ground,
    permit: &Permit,
    survey: &Survey,
) -> Result<Carrier, FramesError> {
    if plan.choice == Choice::Auto
        && let Some(rule) = live::bypassed_rules()
    {
        return Err(FramesError::Unsuited {
            engine: "live",
            reason: format!("it would go around a rule of this machine: {rule}"),
        });
    }
    live::open(ground, permit, survey, plan.threads)
}
