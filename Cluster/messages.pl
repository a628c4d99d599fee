# For run_mpi.sh: passes on what ranks write to standard error, and puts what mpirun has to say (a box of several lines) into one line.
#
# usage: messages.pl DIRECTORY < standard error of mpirun or srun
#
# Ranks' text goes through at once, a progress bar too. In DIRECTORY appear: `verdict`, an exit code that says more than mpirun's own; `said`, the
# reasons that were given; `held`, lines of MPI's own diagnosis that matter only if nothing else explains the end; `ending`, once mpirun ends a job.
use strict;
use warnings;

# It ends with its input: a scheduler's signals to all processes do not, nor does a reader of ours that has gone.
$SIG{$_} = 'IGNORE' for qw(PIPE TERM HUP INT USR1 USR2);

my $directory = shift;
my $rule = qr/-{60,}[ \t]*\n/;
my $buffer = '';
my $box;         # the lines of a box that has begun
my $open = 0;    # whether the last line that was passed on lacks its end

sub pass {
    my $text = shift;
    return if $text eq '';
    syswrite STDERR, $text;
    $open = $text !~ /\n\z/;
}

sub note {
    my ($name, $text) = @_;
    open(my $file, '>>', "$directory/$name") or return;
    print $file $text;
}

# One line of our own.
sub say_line {
    my $text = shift;
    pass("\n") if $open;
    pass("run_mpi.sh: $text\n");
    note('said', "$text\n");
}

# An error that another launch cannot mend.
sub refuse {
    my ($code, $text) = @_;
    note('verdict', "$code\n");
    say_line($text);
}

my %names = (1 => 'HUP', 2 => 'INT', 3 => 'QUIT', 4 => 'ILL', 6 => 'ABRT', 7 => 'BUS', 8 => 'FPE', 9 => 'KILL', 11 => 'SEGV', 15 => 'TERM', 24 => 'XCPU');

sub killed {
    my ($rank, $host, $signal) = @_;
    note('ending', '');
    return if -e "$directory/stopping";
    my $name = $names{$signal} ? "SIG$names{$signal}" : 'a signal';
    my $why = $signal == 9
        ? '; somebody killed it, or the kernel did because memory ran out (the log of the kernel or of the batch system says which; '
            . '`cleave plan` says what a host needs, --memory-per-host limits it)'
        : '';
    say_line("rank $rank on $host was ended by signal $signal ($name)$why");
}

sub cannot_run {
    my ($program, $host) = @_;
    refuse(69, "cannot run $program on $host: the file is missing there, or cannot be executed");
}

# What a box says: nothing where cleave has said it already or it repeats another one, one line where its reason is known, else the box as it is.
sub explain {
    my $text = join(' ', split(' ', shift));
    if ($text =~ /noticed that process rank (\d+) with PID \d+ on node (\S+) exited on signal (\d+)/) {
        killed($1, $2, $3);
    } elsif ($text =~ /exited with non-zero status.*Process name: \[.*?(\d+)\] Exit code: (\d+)/) {
        note('ending', '');
        # Errors of cleave, which has said them.
        say_line("rank $1 ended with exit code $2" . ($2 == 127 ? ': a library that the program needs is missing on its host' : ''))
            unless $2 >= 64 && $2 <= 78 || -e "$directory/stopping";
    } elsif ($text =~ /exited improperly|without calling "finalize"|exiting improperly/) {
        note('ending', '');
        my $rank = $text =~ /process rank (\d+) with PID \d+ on node (\S+)/ ? "rank $1 on $2" : 'a rank';
        say_line("$rank ended before the others, without a word to MPI");
    } elsif ($text =~ /MPI_ABORT was invoked|calling "abort"/) {
        note('ending', '');
    } elsif ($text =~ /Primary job terminated normally/) {
        note('ending', '');
    } elsif ($text =~ /not enough slots available .* satisfy the (\d+) slots/) {
        refuse(64, "there are fewer slots than the $1 ranks that were asked for; take fewer (--ranks), or give the hosts more (`slots=` in the hostfile, "
            . 'or the tasks of the batch job)');
    } elsif ($text =~ /Working directory: (\S+) Node: (\S+)/) {
        refuse(69, "the working directory $1 is missing on $2");
    } elsif ($text =~ /Executable: (\S+) Node: (\S+)/) {
        cannot_run($1, $2);
    } elsif ($text =~ /Node: (\S+) Executable: (\S+)/) {
        cannot_run($2, $1);
    } elsif ($text =~ /Working dir: (\S+) Application name: (\S+) Error: (.*)/) {
        refuse(69, "cannot run $2: $3");
    } elsif ($text =~ /(?:parse error|bad parameter) in the hostfile: (\S+) (.*)/) {
        refuse(64, "mpirun does not understand the hostfile: $2");
    } elsif ($text =~ /unable to open the hostfile: (\S+)/) {
        refuse(64, "cannot read the hostfile $1");
    } elsif ($text =~ /unrecognized option .* Option: (\S+)/) {
        refuse(64, "mpirun does not know the option $1 (MPIRUN_FLAGS)");
    } elsif ($text =~ /lost communication with a remote daemon.* on node (\S+) This/) {
        note('ending', '');
        note('verdict', "205\n"); # mpirun 5 ends with 0 here
        say_line("the connection to host $1 is lost");
    } elsif ($text =~ /unable to reliably start one or more daemons/) {
        note('ending', '');
        say_line("a host could not be reached or has no Open MPI of this version: mpirun's daemon did not start there, or found no way back to this host");
    } elsif ($text =~ /internal error has occurred in ORTE/ && -e "$directory/said") {
        # A consequence of what was said.
    } else {
        return 0;
    }
    return 1;
}

sub end_box {
    my $text = $box;
    undef $box;
    pass("\n") if $open;
    pass('-' x 74 . "\n$text" . '-' x 74 . "\n") unless explain($text);
}

# A whole line that stands outside of boxes.
sub line {
    my $line = shift;
    if ($line =~ /^(?:mpirun|prterun): (?:Forwarding signal|abort is already in progress)|^\d+ total processes failed to start|^Type 'mpirun --help'|^\[[^\]]*\] Set MCA parameter "orte_base_help_aggregate"/
        || $line =~ /^\[[^\]]*\] \d+ more process(?:es)? ha(?:s|ve) sent help message/) {
        return;
    } elsif ($line =~ /^(?:mpirun|prterun): Error: unknown option "(.*)"/) {
        refuse(64, "mpirun does not know the option $1 (MPIRUN_FLAGS)");
    } elsif ($line =~ /^srun: error: \S+: tasks? \S+: Exited with exit code (\d+)/ && $1 >= 64 && $1 <= 78) {
        # srun itself gives the largest code of all tasks, also of those that it ends because of this one.
        note('verdict', "$1\n");
    } elsif ($line =~ /^\[\S+\] (?:PMIX ERROR|(?:ORTE|PRTE)_ERROR_LOG|pmix_mca_base)|reachable pairing between local and remote interfaces/) {
        note('held', $line);
    } else {
        pass($line);
    }
}

# Takes whole lines off the buffer. What cannot become one of mpirun's lines is passed on before its end has come.
sub take {
    while ($buffer =~ s/\A(.*?\n)//s) {
        my $line = $1;
        # A box that follows a progress bar, or the null byte that mpirun 5 writes after a box.
        $line =~ s/\A\0+//;
        if ($line =~ /\A(.*?)$rule\z/s) {
            pass($1);
            defined $box ? end_box() : ($box = '');
        } elsif (defined $box) {
            $box .= $line;
        } elsif ($open) {
            pass($line);
        } else {
            line($line);
        }
    }
    if (!defined $box && $buffer ne '' && $buffer !~ /\A(?:\0|-|\[|mpirun|prterun|srun|Type|\d)/ && $buffer !~ /---\z/) {
        pass($buffer);
        $buffer = '';
    }
}

my $ready = '';
vec($ready, fileno(STDIN), 1) = 1;
while (1) {
    my $waiting = $buffer ne '' || defined $box;
    my $count = select(my $found = $ready, undef, undef, $waiting ? 1 : undef);
    if ($count == 0) {
        # Nothing came for a second: no box of mpirun, which writes one at once.
        if (defined $box) { pass('-' x 74 . "\n$box"); undef $box; }
        if ($buffer ne '') { pass($buffer); $buffer = ''; }
        next;
    }
    my $read = sysread(STDIN, $buffer, 65536, length $buffer);
    last if defined $read && $read == 0;
    last if !defined $read && !$!{EINTR} && !$!{EAGAIN};
    take();
}
$buffer =~ s/\A\0+//;
if (defined $box) { pass('-' x 74 . "\n$box$buffer") }
elsif ($open) { pass($buffer) }
elsif ($buffer =~ /\S/) { line($buffer) }
