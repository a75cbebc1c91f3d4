# What `make deploy` runs a location's tests in: the very image that is deployed, and beside it what only
# tests need: the packages of requirements-dev.lock, and the sandbox. It is gone when they have ended.
ARG PYTHON=python:3.13-slim-trixie
ARG IMAGE

FROM ${PYTHON} AS packages
ARG LOCATION
RUN python -m venv --without-pip /opt/venv
COPY locations/${LOCATION}/requirements-dev.lock ./
# A lock names versions with their hashes, and nothing else: what a URL names pip would build, and so execute.
RUN ! LC_ALL=C grep -nvE '^ *(#[ -~]*)?$|^[A-Za-z0-9._-]+(\[[a-z0-9, -]+\])?==[A-Za-z0-9.+!_-]+( ; [] -[^-~]+)? \\$|^    --hash=sha256:[0-9a-f]{64}( \\)?$' requirements-dev.lock \
    || { printf '%s: %s\n' LockError 'requirements-dev.lock says more than versions and their hashes: run `make lock`' >&2; exit 1; }
# Without its comments: one may name an encoding, and pip would read other lines than were looked at.
RUN --mount=type=cache,target=/root/.cache/pip \
    sed -i '/^ *#/d' requirements-dev.lock \
    && pip --python /opt/venv/bin/python install --quiet --disable-pip-version-check --root-user-action=ignore \
      --no-deps --only-binary=:all: --require-hashes -r requirements-dev.lock \
    # Also for tests that start Python without the image's environment.
    && printf '/opt/location/src\n/opt/shared/src\n/opt/tree/testing/src\n' >/opt/venv/lib/python3.13/site-packages/location.pth

FROM ${PYTHON} AS tree
RUN python -m venv --without-pip /opt/tree/sandbox/.venv
COPY sandbox/requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/tree/sandbox/.venv/bin/python install --quiet --disable-pip-version-check --root-user-action=ignore \
      --no-deps --only-binary=:all: --require-hashes -r requirements.lock
COPY sandbox/src/ /opt/tree/sandbox/.venv/lib/python3.13/site-packages/
COPY testing/src /opt/tree/testing/src
# Nothing can be written there later, and every process of the tests imports it.
RUN python -m compileall -q /opt/tree

FROM ${IMAGE}
ARG LOCATION
COPY --from=packages /opt/venv /opt/venv
COPY --from=tree /opt/tree /opt/tree
COPY pyproject.toml /opt/tree/
COPY locations/${LOCATION} /opt/tree/locations/${LOCATION}
WORKDIR /opt/tree/locations/${LOCATION}
# A process per core, each with its own warehouses and sandboxes; what costs more than a deploy should wait for is left
# to CI.
CMD ["python", "-m", "pytest", "-p", "no:cacheprovider", "-n", "auto", "--maxprocesses=4", "--dist=worksteal", \
     "-m", "not exhaustive", "--disable-warnings", "tests"]
