#!/usr/bin/env bash
# A real one-node SLURM from Debian's packages, without systemd or cgroups, for tests/test_slurm.py.
#   slurm_cluster.sh install                             the packages, with apt-get (root, or sudo without a password)
#   eval "$(slurm_cluster.sh start DIR [GPUS=2] [CPUS=4])"   prints: export SLURM_CONF=... PATH=...; starts what is missing
#   slurm_cluster.sh stop DIR
# GPUS are fake: links to /dev/null that only make SLURM set CUDA_VISIBLE_DEVICES. CPUS may exceed what the machine has.
# Everything lives in DIR (a path under 80 characters: unix sockets go there) and listens on 127.0.0.1 only.
# Runs as the calling user. Ports: SLURM_LAB_PORT (slurmctld, default 6817) and the next one (slurmd).
set -euo pipefail

verb=${1:-} dir=${2:-} gpus=${3:-2} cpus=${4:-4} port=${SLURM_LAB_PORT:-6817}
[[ $verb == install || ($verb =~ ^(start|stop)$ && -n $dir) ]] || { sed -n '2,8s/^# \?//p' "$0" >&2; exit 2; }
dir=$(realpath -m "${dir:-.}")
export SLURM_CONF=$dir/slurm.conf PATH=$PATH:/usr/sbin:/sbin
die() { echo "slurm_cluster: $*" >&2; exit 1; }

# PID of daemon $1, if it is alive and was started by this script for this DIR.
pid_of() {
  local pid; pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$dir/" && echo "$pid"
}

# Repeat a command every 0.2 s, for up to $1 seconds, until it succeeds.
wait_for() {
  local end=$((SECONDS + $1))
  until "${@:2}"; do ((SECONDS < end)) || return 1; sleep 0.2; done
}
# (the clients keep trying for 9 s when slurmctld is down, hence timeout)
node_up() {
  timeout 20 scontrol show slurmd >/dev/null 2>&1 &&
    [[ $(timeout 20 sinfo -h -o %T 2>/dev/null) =~ ^(idle|mixed|allocated)$ ]]
}
no_jobs() { [[ -z $(timeout 20 squeue -h 2>/dev/null) ]]; }
gone() { ! pid_of "$1" >/dev/null; }
# Detached from our output: otherwise $(slurm_cluster.sh start DIR) would never return.
daemon() { gone "$1" || return 0; "$@" </dev/null >>"$dir/start.log" 2>&1 || die "$1 failed, see $dir/*.log"; }

install() {
  local bin root=(); for bin in munged slurmctld slurmd sbatch; do
    command -v "$bin" >/dev/null || {
      [[ $(id -u) == 0 ]] || root=(sudo -n)
      "${root[@]}" apt-get update -qq
      "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        munge slurmctld slurmd slurm-client
      return
    }
  done
}

write_config() {
  local host user mem
  host=$(hostname -s) user=$(id -un)
  # No*InAddrAny (below) binds to whatever the host name resolves to.
  [[ $(getent ahostsv4 "$host" | awk 'NR == 1 {print $1}') == 127.* ]] ||
    die "host name $host does not resolve to loopback: add '127.0.0.1 $host' to /etc/hosts"
  mem=$(slurmd -C | grep -o 'RealMemory=[0-9]*')
  [[ -s $dir/munge.key ]] || mungekey --create --keyfile="$dir/munge.key"

  cat >"$dir/slurm.conf" <<CONF
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
# No cgroups, no binding, no database; finished jobs stay visible to squeue 300 s.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobcomp.log
MinJobAge=300
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
# --gpus needs cons_tres; a job that names no memory must not take the whole node.
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
SchedulerParameters=batch_sched_delay=0
# Believe the node line below, not the hardware.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus $mem Gres=gpu:$gpus
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
CONF

  # Device files are a must: a bare Count= leaves the node INVAL, and with regular files
  # jobs are scheduled but get no CUDA_VISIBLE_DEVICES. Links to one device will do.
  local i; for ((i = 0; i < gpus; i++)); do ln -sf /dev/null "$dir/gpu$i"; done
  echo "Name=gpu File=$dir/gpu[0-$((gpus - 1))] Flags=nvidia_gpu_env" >"$dir/gres.conf"

  # Snakemake's slurm-jobstep plugin drops SLURM_CONF (like nearly all SLURM_*) before it
  # calls srun; this srun, first on PATH, puts it back.
  mkdir -p "$dir/bin"
  cat >"$dir/bin/srun" <<SRUN
#!/bin/sh
export SLURM_CONF="\${SLURM_CONF:-$SLURM_CONF}"
exec "$(dirname "$(command -v sbatch)")/srun" "\$@"
SRUN
  chmod +x "$dir/bin/srun"
}

start() {
  mkdir -p "$dir" "$dir/state" "$dir/spool"
  ! gone slurmctld || write_config   # a running cluster keeps its configuration
  daemon munged --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed"
  daemon slurmctld -f "$SLURM_CONF"
  daemon slurmd -f "$SLURM_CONF"
  wait_for 120 node_up || die "the node did not come up, see $dir/slurmctld.log and slurmd.log"
  echo "export SLURM_CONF='$SLURM_CONF' PATH='$dir/bin':\"\$PATH\""
}

stop() {
  local name pid
  if ! gone slurmctld && ! gone slurmd; then   # first the jobs: they would outlive slurmd
    timeout 20 squeue -h -o %A | xargs -r scancel || true
    wait_for 20 no_jobs || echo "slurm_cluster: some jobs did not end" >&2
  fi
  for name in slurmd slurmctld munged; do
    pid=$(pid_of "$name") || continue
    kill "$pid"
    wait_for 15 gone "$name" || kill -9 "$pid"   # slurmd ignores TERM while it cannot register
  done
}

"$verb"
