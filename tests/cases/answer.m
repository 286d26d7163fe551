% Makes answer.mat, the file of tests/test_score.py that GNU Octave wrote: octave-cli --norc answer.m
%
% Two frames of three users and three antennas, with the default constants, and an answer that this script judges
% by the equations itself, for the test to compare. No user works entirely in one way: each computes locally,
% sends and reflects, along its own channel. User 3 of frame 1 lacks energy, user 1 of frame 2 leaves work.

T = 1; B = 8; p = 1; noise = 1e-9; eta = 0.6; reflection = 0.01;
circuit = 0.01; local_energy = 0.005; local_rate = 50; capacity = 1;
receive_active = 0.04; receive_passive = 0.01; idle = 0.01; mec = 0.0005;

K = 2; N = 3; M = 3;
[k, n, m] = ndgrid(1:K, 1:N, 1:M);
channels = (0.01 + 0.004 * n) .* exp(1i * (k + 2 * n .* m));
workload = [40 35 30; 45 20 40];
battery = [0.2 0.2 0.001; 0.2 0.2 0.2];

t_active = [0.4 0.4 0.4; 0.4 0.3 0.4];
t_passive = [0.2 0.1 0.1; 0.3 0.1 0.05];
l_active = 16 * ones(K, N);
l_passive = zeros(K, N);
beams = zeros(K, N, M);
success = false(K, N);
missing_energy = zeros(K, N);
missing_work = zeros(K, N);
energy = zeros(K, 1);

for frame = 1:K
  h = squeeze(channels(frame, :, :));            % N x M
  w = h ./ sqrt(sum(abs(h) .^ 2, 2));
  beams(frame, :, :) = w;
  for i = 1:N
    gain = norm(h(i, :)) ^ 2;
    rate = B * log2(1 + p * reflection * gain * abs(h(i, :) * w(i, :)') ^ 2 / noise);
    l_passive(frame, i) = rate * t_passive(frame, i);
  end
end
l_local = workload - l_active - l_passive;
l_local(2, 1) = l_local(2, 1) - 1.5;

for frame = 1:K
  h = squeeze(channels(frame, :, :));
  w = squeeze(beams(frame, :, :));
  for i = 1:N
    harvest = 0;
    for j = 1:N
      if j ~= i
        harvest = harvest + 1000 * eta * p * abs(conj(h(i, :)) * w(j, :).') ^ 2 * t_passive(frame, j);
      end
    end
    power = 1000 * (2 ^ (l_active(frame, i) / (B * t_active(frame, i))) - 1) * noise / norm(h(i, :)) ^ 2;
    demand = t_active(frame, i) * (power + circuit) + local_energy * l_local(frame, i);
    missing_energy(frame, i) = max(demand - min(battery(frame, i) + harvest, capacity), 0);
    done = l_active(frame, i) + l_passive(frame, i) + l_local(frame, i);
    missing_work(frame, i) = max(workload(frame, i) - done, 0) * (workload(frame, i) > done * (1 + 1e-6));
    success(frame, i) = missing_energy(frame, i) == 0 && missing_work(frame, i) == 0;
  end
  energy(frame) = sum((p + receive_passive) * t_passive(frame, :) + receive_active * t_active(frame, :)) ...
    + mec * sum(l_active(frame, :) + l_passive(frame, :)) + idle * N * T;
end

save("-v7", "answer.mat", "channels", "workload", "battery", "beams", "t_active", "t_passive", ...
     "l_active", "l_passive", "l_local", "success", "missing_energy", "missing_work", "energy");
