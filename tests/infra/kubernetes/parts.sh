# What `control` and `node` share: processes by name, certificates, waiting. They set run (the folder) and pki.

# begin NAME COMMAND...: in the background, its words kept so that it can be begun again.
begin() {
  local name=$1
  shift
  printf '%s\0' "$@" >"$run/processes/$name.words"
  setsid "$@" >>"$run/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$run/processes/$name.pid"
}

again() { # NAME: in the network it was begun in, which is that of whoever calls
  local words
  mapfile -d '' -t words <"$run/processes/$1.words"
  begin "$1" "${words[@]}"
}

# end NAME [SIGNAL]: asked by TERM or told by SIGNAL, and killed after ten seconds.
end() {
  local pid
  [ -e "$run/processes/$1.pid" ] || return 0
  pid=$(<"$run/processes/$1.pid")
  rm "$run/processes/$1.pid"
  kill "-${2:-TERM}" "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do
    is_alive "$pid" || return 0
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
}

is_alive() { [ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

wait_for() { # SECONDS WHAT COMMAND...
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || { echo "this did not come: $what; its log is in $run" >&2; return 1; }
    sleep 0.1
  done
}

ask() { curl -sf --max-time 5 --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "$@"; }

certificate() { # NAME SUBJECT USAGE [ALTERNATIVE_NAMES]
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout "$pki/$1.key" -subj "$2" -out "$pki/$1.csr" 2>/dev/null
  openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" \
    -set_serial "0x$(openssl rand -hex 8)" -days 30 -out "$pki/$1.crt" 2>/dev/null \
    -extfile <(printf 'keyUsage=digitalSignature\nextendedKeyUsage=%s\n%s' "$3" "${4:+subjectAltName=$4}")
}

kubeconfig() { # NAME SERVER
  cat >"$run/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "$2", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$pki/$1.crt"), client-key-data: $(base64 -w0 "$pki/$1.key")}}]
contexts: [{name: test, context: {cluster: test, user: $1}}]
current-context: test
YAML
}
