#pragma once

#include <Eigen/Core>

double score_in_the_other_unit(const Eigen::MatrixXd& x, const Eigen::MatrixXd& y);
