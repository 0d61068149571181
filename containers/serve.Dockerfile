# An exported model behind SageMaker's container contract: port 8080, GET /ping, POST /invocations, `serve` as argument.
#   docker build -f containers/serve.Dockerfile -t convlab:serve .
#   docker run --rm -p 127.0.0.1:8080:8080 -v "$PWD/results/<study>/export/<dataset>:/opt/ml/model:ro" convlab:serve serve
# The model is not inside: SageMaker unpacks model.tar.gz to /opt/ml/model. Nothing is written, and any user id will do: it runs
# with --read-only --user 12345:12345. `make test-containers` builds and runs it. Behind an index of your own, which the image
# does not keep: --secret id=pip,src=pip.conf, and with a certificate authority of your own
# --secret id=certificates,src=ca.pem and `cert = /run/secrets/certificates` in pip.conf.
ARG BASE=python:3.12-slim
FROM ${BASE}

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/program:$PATH

COPY requirements/serve.txt /tmp/serve.txt
RUN --mount=type=secret,id=pip --mount=type=secret,id=certificates \
    PIP_CONFIG_FILE=/run/secrets/pip pip install --require-hashes -r /tmp/serve.txt && rm /tmp/serve.txt

COPY containers/serve /opt/program/serve
COPY scripts/serve.py /opt/program/serve.py
COPY scripts/convlab/__init__.py scripts/convlab/errors.py /opt/program/convlab/
COPY scripts/convlab/common/__init__.py scripts/convlab/common/atomic.py scripts/convlab/common/checksums.py \
  scripts/convlab/common/cli.py scripts/convlab/common/code_digests.py scripts/convlab/common/environment.py /opt/program/convlab/common/
COPY scripts/convlab/serving/__init__.py scripts/convlab/serving/server.py scripts/convlab/serving/limits.py /opt/program/convlab/serving/

# SageMaker starts an image with the one argument `serve`, and lets it listen where SAGEMAKER_BIND_TO_PORT says.
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
EXPOSE 8080
# A checkout that only its owner may read (umask 077) makes an image that anybody may run.
RUN chmod -R a+rX /opt/program && useradd --no-create-home --home-dir /tmp convlab
USER convlab
CMD ["serve"]
