# CPU:  docker build --tag lit-mlm .
# CUDA: docker build --tag lit-mlm:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .
# Run:  docker run --rm --volume "$PWD:/work" lit-mlm fit --config quickstart.yaml
FROM python:3.11-slim

# PyTorch's own index has the CPU build, whose version sorts above that of PyPI's CUDA build.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /opt/lit-mlm
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY configs configs
COPY lit_mlm lit_mlm
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --constraint constraints.txt .

# Runs and caches lie in the folder that is mounted here.
WORKDIR /work
ENV HOME=/work
ENTRYPOINT ["python", "-m", "lit_mlm"]
CMD ["--help"]
