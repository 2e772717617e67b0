r"""distcomp on a cluster: one manager (node0) and workers, on one LAN, with distcomp ready on all of them.

Instructions:
Wait until the startup scripts have finished (the list view says so), log in to node0, and type

    cd /local/work
    printf 'hostname; echo %d\n' $(seq 100) | distcomp run - --plain --hosts /local/hosts.txt

`/local/hosts.txt` names the workers. Put your own programs and data into `/local/work` on node0 and add `--send .` to
have them sent to the nodes. `/scratch` is a large disk on each node. More: docs/cluster.md in the repository.
"""

# The portal runs this with its own interpreter, which may be an old one: no newer syntax here.
import geni.portal as portal
import geni.rspec.pg as pg

context = portal.Context()
context.defineParameter("n", "Number of nodes", portal.ParameterType.INTEGER, 4, longDescription="node0 is the manager")
context.defineParameter("hardware", "Hardware type", portal.ParameterType.NODETYPE, "", longDescription="Empty: any")
context.defineParameter(
    "image",
    "Disk image",
    portal.ParameterType.IMAGE,
    "urn:publicid:IDN+emulab.net+image+emulab-ops//UBUNTU24-64-STD",
    longDescription="Needs Python 3.11 or newer",
)
context.defineParameter("scratch_gb", "Scratch disk per node (GB)", portal.ParameterType.INTEGER, 50)
params = context.bindParameters()
if not 1 <= params.n <= 200:
    context.reportError(portal.ParameterError("Number of nodes: 1 to 200.", ["n"]))
if params.scratch_gb < 0:
    context.reportError(portal.ParameterError("Scratch disk: 0 for none, or its size.", ["scratch_gb"]))
context.verifyParameters()

request = context.makeRequestRSpec()
lan = request.LAN("lan")
lan.best_effort = True
for number in range(params.n):
    node = request.RawPC("node%d" % number)
    node.disk_image = params.image
    if params.hardware:
        node.hardware_type = params.hardware
    address = pg.IPv4Address("10.10.%d.%d" % (1 + number // 250, 1 + number % 250), "255.255.0.0")
    lan.addInterface(node.addInterface("if1", address))
    if params.scratch_gb:
        scratch = node.Blockstore("scratch%d" % number, "/scratch")
        scratch.size = "%dGB" % params.scratch_gb
    command = "sudo /local/repository/cloudlab/setup.sh %d %d >/tmp/distcomp-setup.log 2>&1" % (number, params.n)
    node.addService(pg.Execute(shell="bash", command=command))
context.printRequestRSpec(request)
