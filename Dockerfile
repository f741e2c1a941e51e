# syntax=docker/dockerfile:1

# Build stage: a static binary for the machine's own architecture (x86_64 or aarch64). ring and the bundled SQLite are
# C, so musl needs a C compiler of its own: musl-tools holds musl-gcc.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates musl-tools \
 && rm -rf /var/lib/apt/lists/*
RUN rustup target add "$(uname -m)-unknown-linux-musl"

WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY jobs jobs
COPY migrations migrations
COPY php php
# Members of the workspace: cargo wants to see them, though nothing of them is built.
COPY examples/producer examples/producer
COPY tests/harness tests/harness
RUN arch="$(uname -m)" \
 && target="$arch-unknown-linux-musl" \
 && export "CC_${arch}_unknown_linux_musl=musl-gcc" \
 && cargo build --locked --profile dist --target "$target" --bin worker \
 && install -D -m 0755 "target/$target/dist/worker" /out/usr/local/bin/worker \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt \
 && install -d -m 1777 /out/tmp

# Runtime stage: the binary, the system's certificate authorities beside its built-in ones, and an empty /tmp. No shell.
FROM scratch
COPY --from=build /out/ /
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/worker"]
CMD ["run"]
