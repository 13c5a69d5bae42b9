FROM python:3.13-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY durastream durastream
RUN pip install --no-cache-dir ".[uvloop]"
COPY workers workers
RUN useradd --system durastream
USER durastream
STOPSIGNAL SIGTERM
ENTRYPOINT ["durastream"]
CMD ["worker", "workers.quickstart:app"]
