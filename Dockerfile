# syntax=docker/dockerfile:1
# One image for the webhook, its controller and the init container of pods. How to build and verify it: docs/image.md
#
# CI pins both bases by digest: --build-arg BUILDER=docker.io/library/python:3.13-slim-trixie@sha256:... and RUNTIME.
ARG BUILDER=docker.io/library/python:3.13-slim-trixie
ARG RUNTIME=gcr.io/distroless/python3-debian13:nonroot

FROM ${RUNTIME} AS runtime

# The builder runs on the machine's own processor whatever the target's: nothing of the target is run, only unpacked.
FROM --platform=${BUILDPLATFORM} ${BUILDER} AS builder
ARG TARGETARCH
ARG VERSION
ARG SOURCE_DATE_EPOCH=0
# An index of packages that is nearer; the hashes hold for any.
ARG PIP_INDEX_URL
# Believe the authorities of the system, as pip does; copy files, since the tree is worked on.
ENV UV_SYSTEM_CERTS=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY requirements/ requirements/
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      --require-hashes --only-binary=:all: -r requirements/uv.txt
RUN case "${TARGETARCH}" in amd64) processor=x86_64 ;; arm64) processor=aarch64 ;; *) exit 1 ;; esac \
 && uv pip install ${PIP_INDEX_URL:+--default-index "${PIP_INDEX_URL}"} --quiet --require-hashes --only-binary=:all: \
      --python-platform "${processor}-manylinux_2_40" --python-version 3.13 \
      --target /tree/usr/local/lib/python3.13/dist-packages -r requirements/runtime.txt
COPY . .
RUN uv build ${PIP_INDEX_URL:+--default-index "${PIP_INDEX_URL}"} --quiet --wheel --out-dir /wheel \
      --build-constraints requirements/dev.txt --require-hashes \
 && test -f "/wheel/warmpod-${VERSION:?the version of webhook/__init__.py: see docs/image.md}-py3-none-any.whl" \
 && uv pip install --quiet --no-deps --offline --python-version 3.13 \
      --target /tree/usr/local/lib/python3.13/dist-packages /wheel/*.whl
COPY --from=runtime /usr/lib/python3.13/ /tree/usr/lib/python3.13/
# -I: variables and files of a pod choose no code of ours. -B: the root is read-only.
RUN mkdir -p /tree/usr/local/bin \
 && printf '%s\n' '#!/usr/bin/python3.13 -IB' 'from webhook.cli.start import main' 'main()' > /tree/usr/local/bin/warmpod \
 && chmod 755 /tree/usr/local/bin/warmpod \
 && PYTHONHASHSEED=0 python3.13 image/assembly.py /tree --date "${SOURCE_DATE_EPOCH}" \
      --site usr/local/lib/python3.13/dist-packages --stdlib usr/lib/python3.13

FROM runtime
ARG VERSION
ARG REVISION=unknown
ARG SOURCE=https://github.com/warmpod/warmpod
LABEL org.opencontainers.image.title="Warmpod" \
      org.opencontainers.image.description="GPU pods that start warm on Kubernetes: webhook, controller and hydrator" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.documentation="${SOURCE}/blob/main/docs/image.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/python3-debian13:nonroot"
COPY --from=builder /tree/ /
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/local/bin/warmpod"]
CMD ["--help"]
