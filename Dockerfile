# An image with this project, for cluster-kuberay.yaml and cluster.yaml; docs/cluster.md says how to make it.
#
# Ray in the version that constraints.txt names; without CUDA, which torch brings itself (the driver is the machine's).
FROM rayproject/ray:2.60.0-py311-cpu
# The large layer, which a change of the code leaves as it is.
COPY pyproject.toml constraints.txt /home/ray/fashion-mnist/
RUN cd /home/ray/fashion-mnist && pip install --quiet --no-cache-dir uv && \
    uv pip install --no-cache --compile-bytecode --python "$(which python)" --constraint constraints.txt \
        --requirement pyproject.toml
COPY orchestrator /home/ray/fashion-mnist/orchestrator
COPY trainables /home/ray/fashion-mnist/trainables
ENV PYTHONPATH=/home/ray/fashion-mnist
# For the manifest.
ARG GIT_COMMIT=unknown
ENV GIT_COMMIT=$GIT_COMMIT
