# The image is the one static binary; nothing else is in it but certificates
# and time zones. Data is in /data.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /tallybook . && mkdir /empty

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /tallybook /tallybook
COPY --from=build --chown=nonroot:nonroot /empty /data
USER nonroot
VOLUME /data
EXPOSE 8080 9092
ENTRYPOINT ["/tallybook"]
CMD ["run", "--data", "/data"]
