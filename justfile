# The same commands as in the README; `just` itself is in .venv/bin once one of them has run.

# list the recipes
default:
    @just --list

# the whole service: server, gateway, workers
[no-exit-message]
up *arguments:
    python3 deploy/local up {{arguments}}

# all tests, or those that pytest is told
test *arguments:
    python3 deploy/local test {{arguments}}

# format, rules and types, changing nothing
lint *arguments:
    python3 deploy/local lint {{arguments}}

# format, fix what can be fixed, and bring the README's settings up to date
fmt *arguments:
    python3 deploy/local fmt {{arguments}}

# jobs and pushes per second beside other libraries
bench *arguments:
    python3 deploy/local bench {{arguments}}

# only the virtual environment
install *arguments:
    python3 deploy/local install {{arguments}}

# constraints.txt anew from pyproject.toml, keeping the versions that fit
lock:
    .venv/bin/uv pip compile --universal --generate-hashes --python-version 3.11 --all-extras \
        --no-header --no-annotate pyproject.toml --output-file constraints.txt

# what CI runs
check:
    .ci/run
