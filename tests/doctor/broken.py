"""Every kind of broken installation, and what is to be said of it first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from certs.issue import issue_authority, issue_leaf
from tests.doctor.installation import (
    HOST,
    NOW,
    PODS,
    authority,
    certificates,
    deployment,
    edited,
    healthy,
    needed,
    pod,
    registration,
    replica,
    reply,
    slices,
    unanswered,
)
from webhook.doctor.evidence import Absent, Barred, Counters, Evidence, Passage, Probe, Seen
from webhook.doctor.finding import State
from webhook.kube import Object, names

WORKS = "Warmpod works: pods are reviewed in Enforce"
COLD = "GPU pods start as without Warmpod, because "
BLOCKED = Passage(0, "nothing within 6 s", reached=False)
OTHER_CA = issue_authority(NOW)
SERVICE_PASSAGE = Seen(Passage(405, "Method Not Allowed", reached=True))
NO_ENDPOINTS = Seen(Passage(503, "no endpoints available", reached=None))


@dataclass(frozen=True)
class Case:
    evidence: Evidence
    verdict: str
    """How the verdict begins."""
    finding: str
    """The name of the finding that comes first."""
    text: str
    """What it says."""
    advice: str = ""
    state: State = State.FAILURE
    works: bool | None = False


def waiting(reason: str, message: str) -> Object:
    container = {"name": "webhook", "state": {"waiting": {"reason": reason, "message": message}}}
    return pod(PODS[0], containerStatuses=[container])


def rejecting() -> Evidence:
    said = 'Internal error occurred: failed calling webhook "pods.warmpod.dev": x509: certificate signed by unknown'
    found = edited(registration(OTHER_CA.certificate_pem), "webhooks", 0, "failurePolicy", value="Fail")
    return replace(unanswered(healthy(), registration=Seen(found)), probe=Seen(Probe(500, said)))


def pointed_at_url(url: str = "https://127.0.0.1:8443") -> Object:
    found = registration()
    for hook in found["webhooks"]:
        service = hook["clientConfig"].pop("service")
        hook["clientConfig"]["url"] = url + service["path"]
    return found


EXPIRED = issue_leaf(authority(), [HOST], NOW - timedelta(days=9), lifetime=timedelta(days=8))

BROKEN: Mapping[str, Case] = {
    "not installed": Case(
        replace(unanswered(healthy(), system=Absent(), registration=Absent())),
        COLD + "Warmpod is not installed: there is no namespace warmpod-system",
        "namespace",
        "there is no namespace",
        "manifests/overlays/audit",
    ),
    "removed in part": Case(
        unanswered(healthy(), system=Absent(), deployment=Absent(), service=Absent(), slices=Seen([])),
        COLD + "there is no namespace warmpod-system, and the registration is still there",
        "namespace",
        "still there",
        "kubectl delete mutatingwebhookconfiguration warmpod",
    ),
    "no registration": Case(
        unanswered(healthy(), registration=Absent(), passage=SERVICE_PASSAGE),
        COLD + "the registration (MutatingWebhookConfiguration warmpod) is missing",
        "registration",
        "is missing",
        "manage-webhook",
    ),
    "emptied hooks": Case(
        unanswered(healthy(), registration=Seen({**registration(), "webhooks": []})),
        COLD + "the registration (MutatingWebhookConfiguration warmpod) has no webhooks left",
        "registration",
        "has no webhooks left",
        "kubectl apply -k",
    ),
    "a path that is not served": Case(
        unanswered(
            healthy(),
            registration=Seen(edited(registration(), "webhooks", 0, "clientConfig", "service", "path", value="/pods")),
            passage=SERVICE_PASSAGE,
        ),
        COLD + "webhook pods.warmpod.dev leads to /pods, which Warmpod does not serve",
        "registration",
        "/pods",
    ),
    "rules without pods": Case(
        unanswered(
            healthy(), registration=Seen(edited(registration(), "webhooks", 0, "rules", 0, "resources", value=["jobs"]))
        ),
        COLD + "the rules of webhook pods.warmpod.dev do not name the creation of pods",
        "registration",
        "rules",
    ),
    "wrong CA": Case(
        unanswered(healthy(), registration=Seen(registration(OTHER_CA.certificate_pem)), passage=SERVICE_PASSAGE),
        COLD + "webhook pods.warmpod.dev has a caBundle that does not verify the certificate of the Secret",
        "trust",
        "another authority",
        "-c controller",
    ),
    "no CA": Case(
        unanswered(healthy(), registration=Seen(registration(b"")), passage=SERVICE_PASSAGE),
        COLD + "webhook pods.warmpod.dev has no caBundle",
        "trust",
        "trusts no replica",
    ),
    "a CA that is garbage": Case(
        unanswered(healthy(), registration=Seen(registration(b"x" * 100_000)), passage=SERVICE_PASSAGE),
        COLD + "webhook pods.warmpod.dev has a caBundle without a certificate that can be read",
        "trust",
        "without a certificate",
    ),
    "an expired certificate": Case(
        unanswered(
            healthy(),
            certificates=Seen(certificates(leaf=EXPIRED.certificate_pem, problem="the certificate expired at 02:00")),
            passage=SERVICE_PASSAGE,
        ),
        COLD + "Secret warmpod-webhook-tls cannot be served: the certificate expired at 02:00",
        "certificate",
        "expired",
    ),
    "an expired authority": Case(
        unanswered(
            replace(healthy(), now=NOW + timedelta(days=4000)),
            passage=SERVICE_PASSAGE,
            replicas=Seen([]),
        ),
        COLD + "webhook pods.warmpod.dev trusts an authority that expired at 2036",
        "trust",
        "expired",
    ),
    "a certificate for another name": Case(
        unanswered(healthy(), certificates=Seen(certificates(names=("else.where.svc",))), passage=SERVICE_PASSAGE),
        COLD + f"webhook pods.warmpod.dev is called as {HOST}, and the certificate is for else.where.svc",
        "trust",
        HOST,
    ),
    "no Secret": Case(
        unanswered(healthy(), certificates=Absent(), passage=SERVICE_PASSAGE),
        COLD + "Secret warmpod-webhook-tls is missing",
        "certificate",
        "missing",
    ),
    "no ready endpoints": Case(
        unanswered(
            healthy(),
            deployment=Seen(deployment(ready=0)),
            slices=Seen(slices(0, 2)),
            pods=Seen([waiting("ImagePullBackOff", "no such image: x\nand more")]),
            passage=NO_ENDPOINTS,
        ),
        COLD + "none of the 2 pods of Deployment warmpod is ready (container webhook of pod warmpod-a waits: "
        "ImagePullBackOff (no such image: x))",
        "deployment",
        "ImagePullBackOff",
        "kubectl -n warmpod-system describe pods",
    ),
    "scaled to 0": Case(
        unanswered(
            healthy(), deployment=Seen(deployment(0, 0)), pods=Seen([]), slices=Seen(slices(0)), replicas=Seen([])
        ),
        COLD + "Deployment warmpod is scaled to 0",
        "deployment",
        "scaled to 0",
        "scale deployment warmpod --replicas=2",
    ),
    "endpoints of another port": Case(
        unanswered(healthy(), slices=Seen([{**slices()[0], "ports": [{"name": "metrics", "port": 8080}]}])),
        COLD + "no endpoint of Service warmpod-webhook has the port 'webhook'",
        "endpoints",
        "targetPort",
        "targetPort",
    ),
    "no Service": Case(
        unanswered(healthy(), service=Absent(), slices=Seen([])),
        COLD + "there is no Service warmpod-webhook",
        "service",
        "there is no Service",
    ),
    "network blocked": Case(
        unanswered(healthy(), passage=Seen(BLOCKED)),
        COLD + "the API server cannot reach port 8443 of the replicas (nothing within 6 s)",
        "network",
        "port 8443",
        "On EKS the cluster security group must allow 8443 from the control plane to the nodes",
    ),
    "network blocked, and nobody may try": Case(
        unanswered(healthy(), passage=Barred("get services/proxy in namespace warmpod-system")),
        COLD + "endpoints are ready and the certificate verifies, so most likely the network",
        "network",
        "get services/proxy",
        "security group",
    ),
    "conditions that pick nothing": Case(
        replace(
            unanswered(
                healthy(),
                registration=Seen(
                    edited(registration(), "webhooks", 0, "matchConditions", 0, "expression", value="false")
                ),
                passage=SERVICE_PASSAGE,
            ),
            after=Seen(Counters(fail_open=3, calls=40)),
        ),
        COLD + "the matchConditions of the registration do not pick the probe's pod",
        "network",
        "matchConditions",
        "manifests/base",
    ),
    "a URL that nobody answers": Case(
        unanswered(
            healthy(), registration=Seen(pointed_at_url()), certificates=Seen(certificates(names=("127.0.0.1",)))
        ),
        COLD + "nothing answers the API server at the URL of the registration",
        "network",
        "URL",
    ),
    "a URL that nobody answers, and something else that is wrong": Case(
        unanswered(
            healthy(),
            registration=Seen(pointed_at_url()),
            certificates=Seen(certificates(names=("127.0.0.1",))),
            deployment=Absent(),
            replicas=Barred("list leases"),
        ),
        COLD + "nothing answers the API server at the URL of the registration",
        "network",
        "URL",
    ),
    "pods are rejected": Case(
        rejecting(),
        "GPU pods are rejected, because webhook pods.warmpod.dev has a caBundle that does not verify",
        "trust",
        "another authority",
    ),
    "no policy": Case(
        replace(
            healthy(),
            probe=Seen(Probe(201, "", reply(policies=0))),
            replicas=Seen([replica(name, policies={"count": 0, "digest": "", "problems": 0}) for name in PODS]),
        ),
        f"{WORKS}; but no policy is in force",
        "policies",
        "no pod is changed",
        "warmpod lint",
        works=True,
    ),
    "policy broken": Case(
        replace(
            healthy(),
            replicas=Seen(
                [
                    replica(name, policies={"count": 8, "digest": "d", "problem": "2 problems; last good"})
                    for name in PODS
                ]
            ),
        ),
        f"{WORKS}; but the policy files are not in force as they are: warmpod-a: 2 problems; last good",
        "policies",
        "warmpod-b",
        "warmpod lint",
        State.WARNING,
        works=True,
    ),
    "different policies": Case(
        replace(
            healthy(),
            replicas=Seen(
                [replica(PODS[0]), replica(PODS[1], policies={"count": 8, "digest": "e" * 16, "problems": 0})]
            ),
        ),
        f"{WORKS}; but replicas decide by different policies",
        "policies",
        "different policies",
        "",
        State.WARNING,
        works=True,
    ),
    "stale snapshot": Case(
        replace(
            healthy(),
            replicas=Seen([replica(PODS[0]), replica(PODS[1], snapshot={"age": 900.0, "usable": False})]),
        ),
        f"{WORKS}; but there is no placement",
        "snapshot",
        "warmpod-b: its snapshot is 15 min old",
        "localhost:8081/readyz?verbose",
        State.WARNING,
        works=True,
    ),
    "stale snapshot, as the probe tells it": Case(
        replace(healthy(), replicas=Barred("list leases"), probe=Seen(Probe(201, "", reply(snapshot_age=600.0)))),
        f"{WORKS}; but there is no placement",
        "snapshot",
        "the replica that answered: its snapshot is 10 min old",
        "",
        State.WARNING,
        works=True,
    ),
    "RBAC missing": Case(
        replace(
            healthy(),
            rights={one: Seen(not (one.resource == "nodes" and one.verb == "patch")) for one in needed()},
        ),
        f"{WORKS}; but service account warmpod-system/warmpod may not: patch nodes",
        "rights",
        "patch nodes",
        "ClusterRole",
        works=True,
    ),
    "the RBAC of the version before": Case(
        replace(healthy(), rights={one: Seen(one.resource != "persistentvolumes") for one in needed()}),
        f"{WORKS}; but service account warmpod-system/warmpod may not: list persistentvolumes, watch persistentvolumes",
        "rights",
        "pods are placed as if their volumes could be reached from every node",
        "kubectl apply -k",
        State.WARNING,
        works=True,
    ),
    "versions differ": Case(
        replace(healthy(), replicas=Seen([replica(PODS[0]), replica(PODS[1], version="1.3.0")])),
        f"{WORKS}; but replicas run different versions: 1.2.3 (warmpod-a), 1.3.0 (warmpod-b)",
        "versions",
        "different versions",
        "rollout restart",
        State.WARNING,
        works=True,
    ),
    "a replica serves another certificate": Case(
        replace(healthy(), replicas=Seen([replica(PODS[0]), replica(PODS[1], certificate={"serial": "abc"})])),
        f"{WORKS}; but warmpod-b does not serve the certificate of Secret warmpod-webhook-tls",
        "serials",
        "warmpod-b",
        "controller",
        State.WARNING,
        works=True,
    ),
    "a replica that fell silent": Case(
        replace(healthy(), replicas=Seen([replica(PODS[0]), replica(PODS[1], silent=600)])),
        f"{WORKS}; but warmpod-b runs, and was not heard of of late",
        "replicas",
        "warmpod-b",
        "",
        State.WARNING,
        works=True,
    ),
    "a problem that a controller tells": Case(
        replace(
            healthy(), replicas=Seen([replica(PODS[0], controller={"problems": ["nodes are not followed: forbidden"]})])
        ),
        f"{WORKS}; but warmpod-a: nodes are not followed: forbidden",
        "controller",
        "forbidden",
        "",
        State.WARNING,
        works=True,
    ),
    "nobody leads": Case(
        replace(healthy(), lease=Seen({"spec": {"holderIdentity": "", "renewTime": None}})),
        f"{WORKS}; but no controller leads",
        "leader",
        "no controller leads",
        "",
        State.WARNING,
        works=True,
    ),
    "the leader is gone": Case(
        replace(healthy(), lease=Seen({"spec": {"holderIdentity": "x", "renewTime": "2026-11-22T02:40:00Z"}})),
        f"{WORKS}; but the leading controller (x) was last heard of 20 min old",
        "leader",
        "20 min",
        "",
        State.WARNING,
        works=True,
    ),
    "pods restart": Case(
        replace(
            healthy(),
            pods=Seen(
                [
                    pod(
                        PODS[0],
                        containerStatuses=[
                            {
                                "name": "controller",
                                "restartCount": 4,
                                "state": {"running": {}},
                                "lastState": {
                                    "terminated": {
                                        "reason": "OOMKilled",
                                        "exitCode": 137,
                                        "finishedAt": "2026-11-22T02:50:00Z",
                                    }
                                },
                            }
                        ],
                    )
                ]
            ),
        ),
        f"{WORKS}; but container controller of pod warmpod-a restarted 4 times",
        "pods",
        "OOMKilled",
        "--previous",
        State.WARNING,
        works=True,
    ),
    "half the replicas": Case(
        replace(healthy(), deployment=Seen(deployment(ready=1))),
        f"{WORKS}; but 1 of 2 pods of Deployment warmpod are ready",
        "deployment",
        "1 of 2",
        "",
        State.WARNING,
        works=True,
    ),
    "it would reject pods": Case(
        replace(healthy(), registration=Seen(edited(registration(), "webhooks", 1, "failurePolicy", value="Fail"))),
        f"{WORKS}; but webhook audit.pods.warmpod.dev has failurePolicy Fail",
        "selection",
        "rejected while it fails",
        "Ignore",
        State.WARNING,
        works=True,
    ),
    "it stands in the way of kube-system": Case(
        replace(healthy(), registration=Seen(edited(registration(), "webhooks", 0, "namespaceSelector", value={}))),
        f"{WORKS}; but webhook pods.warmpod.dev is called for pods of kube-system, kube-node-lease, warmpod-system",
        "selection",
        "kube-system",
        "namespaceSelector",
        State.WARNING,
        works=True,
    ),
    "the account's limits are gone": Case(
        replace(healthy(), binding=Absent()),
        f"{WORKS}; but its binding nodes.warmpod.dev is missing",
        "node-policy",
        "nothing but RBAC",
        "",
        State.WARNING,
        works=True,
    ),
    "a label that means nothing": Case(
        replace(
            healthy(),
            namespaces=Seen([{"metadata": {"name": "team-a", "labels": {names.LABEL_NAMESPACE_MODE: "audit"}}}]),
        ),
        f"{WORKS}; but the label warmpod.dev/mode=audit of team-a is none of Off, Audit, Enforce",
        "namespaces",
        "lowers nothing",
        "--overwrite",
        State.WARNING,
        works=True,
    ),
    "the certificate ends soon": Case(
        replace(healthy(), now=NOW + timedelta(days=350), replicas=Seen([]), lease=Barred("get leases")),
        f"{WORKS}; but the certificate expires in 5 days",
        "certificate",
        "should have been renewed",
        "warmpod certs rotate",
        State.WARNING,
        works=True,
    ),
    "a Secret that was lost and is made anew": Case(
        replace(
            healthy(),
            certificates=Seen(
                certificates(leaf=b"", serial="", names=(), problem="no readable PEM", next_authority=True)
            ),
        ),
        f"{WORKS}; but Secret warmpod-webhook-tls was lost and is being made anew",
        "certificate",
        "a certificate follows",
        "warmpod certs status",
        State.WARNING,
        works=True,
    ),
    "an old cluster": Case(
        replace(healthy(), version="v1.29.4-eks-1"),
        f"{WORKS}; but Kubernetes v1.29.4-eks-1 answers at https://10.0.0.1:6443, and Warmpod needs 1.30",
        "api-server",
        "1.30",
        "upgrade",
        State.WARNING,
        works=True,
    ),
    "images differ": Case(
        replace(
            healthy(),
            deployment=Seen(
                edited(deployment(), "spec", "template", "spec", "containers", 0, "image", value="warmpod:other")
            ),
        ),
        f"{WORKS}; but webhook and controller run different images",
        "images",
        "warmpod:other",
        "kustomization",
        State.WARNING,
        works=True,
    ),
    "the probe's namespace is not selected": Case(
        unanswered(
            healthy(),
            probed=Seen({"metadata": {"name": "default", "labels": {names.LABEL_NAMESPACE_MODE: "Off"}}}),
        ),
        "nobody knows whether GPU pods are reviewed: the registration does not select namespace default",
        "probe",
        "proves nothing",
        "--probe-namespace",
        State.UNKNOWN,
        works=None,
    ),
    "nobody may create pods": Case(
        replace(healthy(), probe=Barred("create pods in namespace default")),
        "nobody knows whether GPU pods are reviewed: a dry run of a GPU pod: you may not create pods",
        "probe",
        "you may not create pods in namespace default",
        "run it as somebody who may",
        State.UNKNOWN,
        works=None,
    ),
}
