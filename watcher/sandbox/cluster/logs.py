"""The log subresource of pods: asks the kubelet of the pod's node, and gives its answer on."""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import quote, urlencode

from watcher.sandbox.cluster.api import Api
from watcher.sandbox.cluster.kinds import NODE, POD, Kind, Object
from watcher.sandbox.cluster.proxy import Passed
from watcher.sandbox.cluster.refusal import Refusal, about, bad_request, invalid, not_found

TIMEOUT = 30.0

_OPTIONS = Kind("", "podlogoptions", "PodLogOptions")
_GIVEN_ON = ("follow", "limitBytes", "previous", "sinceSeconds", "sinceTime", "tailLines", "timestamps")


def read(api: Api, namespace: str, name: str, parameters: dict[str, str]) -> Passed:
    """What a container of the pod wrote; nothing, under a 204, as long as the pod has no node.

    Raises a 404 where the pod or its node isn't there, a 400 or 422 for what can't be asked, and what the kubelet says.
    """
    _check_limit(name, parameters.get("limitBytes"))
    pod = api.read(POD, namespace, name)
    container = _container(pod, parameters.get("container", ""))
    node_name = pod["spec"].get("nodeName")
    if not node_name:
        return Passed({}, b"", 204)
    node = api.store.get(NODE, ("", node_name))
    if node is None:
        raise not_found(POD, node_name)  # a real API server calls it a pod too
    path = "/".join(["/containerLogs", *(quote(part, safe="") for part in (namespace, name, container))])
    query = urlencode({key: parameters[key] for key in _GIVEN_ON if key in parameters})
    status, body = _ask(node, f"{path}?{query}" if query else path)
    if status != http.client.OK:
        raise _refused(name, status, body.decode(errors="replace"))
    return Passed({"Content-Type": "text/plain"}, body, status)


def _check_limit(name: str, limit: str | None) -> None:
    if limit is None:
        return
    try:
        number = int(limit)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{limit}": invalid syntax') from error
    if number <= 0:
        raise invalid(_OPTIONS, name, "limitBytes", f"Invalid value: {number}: must be greater than 0")


def _container(pod: Object, asked: str) -> str:
    """The container that is meant; raises a 400 where that can't be said."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [str(one["name"]) for one in spec["containers"]]
    if not asked and len(names) > 1:
        listed = " ".join(names)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    if asked and asked not in {*names, *(one["name"] for one in spec.get("initContainers") or ())}:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    return asked or names[0]


def _ask(node: Object, path: str) -> tuple[int, bytes]:
    address = node["status"]["addresses"][0]["address"]
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as a real API server does, unless told
    connection = http.client.HTTPSConnection(address, port, timeout=TIMEOUT, context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        message = f'Get "https://{address}:{port}{path}": {error}'
        raise Refusal(500, "", message) from error
    finally:
        connection.close()


def _refused(name: str, status: int, said: str) -> Refusal:
    """What an API server makes of a kubelet's refusal: it hands on the words of a 400 and of a 500 only."""
    if status == http.client.BAD_REQUEST:
        return bad_request(said)
    if status == http.client.NOT_FOUND:
        message = f"the server could not find the requested resource ( pods/log {name})"
        return Refusal(404, "NotFound", message, {**about(POD, name), "kind": "pods/log"})
    return Refusal(500, "InternalError", f"Internal error occurred: {said}", {"causes": [{"message": said}]})
