# The same commands as in the README; `just` itself is in .venv/bin once `test` or `lint` has run.

# list the recipes
default:
    @{{just_executable()}} --list

# the whole service: server, gateway, workers
[no-exit-message]
up *arguments:
    python3 deploy/local up {{arguments}}

# the tests, or those that pytest is told; with `--all` the slow ones too
test *arguments:
    python3 deploy/local test {{arguments}}

# loads a model, says what it takes and costs, and runs an input: `just check file.py:Class --input '{"text": "a"}'`
check *arguments:
    python3 deploy/local check {{arguments}}

# format, rules, imports and types, changing nothing
lint *arguments:
    python3 deploy/local lint {{arguments}}

# an API key for a file of keys: `just key new NAME`
key *arguments:
    python3 deploy/local key {{arguments}}

# format, fix what can be fixed, and write the tables of docs/settings.md
fmt *arguments:
    python3 deploy/local fmt {{arguments}}

# the client alone, as a wheel in dist/: `just wheel [FOLDER]`
wheel *arguments:
    python3 deploy/local wheel {{arguments}}

# load, reports, experiments, simulations: `just bench load --help`
bench *arguments:
    python3 deploy/local bench {{arguments}}

# rates, latencies and memory beside other libraries
peers *arguments:
    python3 deploy/local peers {{arguments}}

# what a call costs with a million jobs waiting and a thousand workers
growth *arguments:
    python3 deploy/local growth {{arguments}}

# loads x scaling configurations on the cluster of kubectl's current context, and a report
[no-exit-message]
experiments *arguments:
    python3 deploy/local experiments {{arguments}}

# load while workers, server and gateway are killed, and an account of every job
[no-exit-message]
faults *arguments:
    python3 deploy/local faults {{arguments}}

# the service on minikube: image, KEDA, chart; with deploy/values/NAME.yaml: `just deploy NAME`
[no-exit-message]
deploy *arguments:
    python3 deploy/local deploy {{arguments}}

# takes all of it away from minikube again, its data too
[no-exit-message]
undeploy *arguments:
    python3 deploy/local undeploy {{arguments}}

# an image for a registry, built and pushed: `just image REGISTRY/NAME:TAG [MODEL FOLDER]`
image *arguments:
    python3 deploy/local image {{arguments}}

# the end-to-end tests, on the cluster of kubectl's current context
e2e *arguments:
    python3 deploy/local e2e {{arguments}}

# every package of every command
install *arguments:
    python3 deploy/local install {{arguments}}

# the lists of packages anew from pyproject.toml, keeping the versions that fit
lock:
    .venv/bin/python -m deploy.local.upkeep.lock

# pictures of the page for the manual, docs/images/page-*.png
screenshots *arguments:
    python3 deploy/local screenshots {{arguments}}

# what CI runs
ci:
    .ci/run

# KEDA's protocol: workers/scaler/cluster/externalscaler_pb2.py and .pyi anew from the .proto beside them
proto:
    cd workers/scaler/cluster && ../../../.venv/bin/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. externalscaler.proto
