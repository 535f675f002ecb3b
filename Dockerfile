# docker build -t srgan .
# docker run --rm -v "$PWD:/work" srgan upscale photo.jpg --out upscaled
# docker run --rm --gpus all --shm-size=8g -v "$PWD:/work" -v ~/.cache/torch:/root/.cache/torch \
#     srgan train --config configs/srgan_vgg54.yaml
#
# The second folder keeps VGG19, which torchvision would download anew in each container.
# PyTorch's own CUDA libraries come with it: the host needs NVIDIA's driver and container toolkit, and nothing for a CPU.
FROM python:3.12-slim
# For torch.compile.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /srgan
# First, so that a change of the code doesn't fetch PyTorch again.
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps .
WORKDIR /work
ENTRYPOINT ["srgan"]
CMD ["--help"]
