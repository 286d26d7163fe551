% Files of GNU Octave, made in this folder by: octave-cli frames.m
% 4 antennas, 2 users, 3 frames; the tests know the formulas.
[m, n, k] = ndgrid(1:4, 1:2, 1:3);
H = 1e-3 * (m + 10 * n) .* exp(1i * (m + k));
work = squeeze(10 * n(1, :, :) + k(1, :, :));
energy = [0.01; 0.02];
label = 'not numbers';
info.H = H;

save('-v6', 'octave_v5.mat', 'H', 'work', 'energy', 'label', 'info');
save('-v7', 'octave_v7.mat', 'H', 'work', 'energy', 'label', 'info');
save('-hdf5', 'octave.h5', 'H', 'work', 'energy', 'label');

H = H(:, :, 1);  % Octave drops the last axis
save('-v7', 'octave_one_frame.mat', 'H');
H = 20 * log10(abs(H));
save('-v7', 'octave_decibels.mat', 'H');

file = fopen('octave.csv', 'w');
fprintf(file, 'antenna,user,frame,I,Q,workload\n');
H = 1e-3 * (m + 10 * n) .* exp(1i * (m + k));
rows = [m(:), n(:), k(:), real(H(:)), imag(H(:)), 10 * n(:) + k(:)];
fprintf(file, '%d,%d,%d,%.15g,%.15g,%g\n', rows');
fclose(file);
